// SPDX-License-Identifier: MIT
// process_pool_executor::impl: a thread that waits for a call of the pool reads its worker's answers
// itself.
#include <mutex>
#include <optional>
#include <utility>

#include "process/process_pool.hpp"
#include "sync/spin.hpp"

namespace cadre {

detail::wait_helper* process_pool_executor::impl::begin_help(detail::state_base&) noexcept {
  const std::lock_guard held{mutex_};
  if (helping_) return nullptr;
  helping_ = true;
  helped_ = true;
  ++helpers_;
  if (armed_) disarm_all();
  // It will look now and then, from here on.
  if (std::exchange(sleeps_long_, false)) wake_collector();
  return this;
}

void process_pool_executor::impl::help(detail::state_base& awaited,
                                       detail::time_point deadline) noexcept {
  lock held{mutex_, std::defer_lock};
  std::optional<untold> own;
  // Keeps the lock when it is the last look.
  const auto look = [&] {
    held.lock();
    bool progress = false;
    for (auto& [token, w] : workers_) {
      if (w->is_sending() && !w->reading && w->send_more()) progress = true;
      if (drain(*w, held, &awaited, &own)) {
        progress = true;
        break;  // workers_ may have changed meanwhile
      }
    }
    if (own || awaited.done()) return true;
    held.unlock();
    return progress;
  };
  while (!held.owns_lock() && (deadline == detail::never || clock::now() < deadline)) {
    if (!sync::watch_until(look, ipc::default_spin)) break;
  }
  if (!held.owns_lock()) held.lock();
  give_up_helping(own || awaited.done());
  if (own) {
    // To decode it is the user's code, which may wait for a call of this pool.
    held.unlock();
    tell(*own);
    held.lock();
  }
  --helpers_;
  // release: pairs with the acquire in wait_until_idle().
  changes_.fetch_add(1, std::memory_order_release);
  if (closed()) sync::futex_wake(&changes_, INT32_MAX);
}

/// Under the lock. `answered`: what it waited for is here.
void process_pool_executor::impl::give_up_helping(bool answered) noexcept {
  helping_ = false;
  // Then it will help with the next call soon. Else it takes longer, and from now on workers have to ring;
  // also those that are only starting, for whose bell the collector sees to.
  helped_ = answered;
  if (!answered && !arm_all()) wake_collector();
}

}  // namespace cadre
