// SPDX-License-Identifier: MIT
// process_pool_executor::impl: a thread that waits for a call of the pool reads its worker's answers
// itself.
#include <mutex>
#include <utility>

#include "process/process_pool.hpp"
#include "sync/spin.hpp"

namespace cadre {

namespace {

/// Names this thread.
const void* this_thread_mark() noexcept {
  constinit static thread_local char mark = 0;
  return &mark;
}

}  // namespace

detail::wait_helper* process_pool_executor::impl::begin_help(detail::state_base&) noexcept {
  const std::lock_guard held{mutex_};
  if (helping_ != nullptr) return nullptr;
  helping_ = this_thread_mark();
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
  untold own;
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
    held.unlock();
    return progress || awaited.done();
  };
  while (own.of == nullptr && !awaited.done() &&
         (deadline == detail::never || clock::now() < deadline)) {
    if (!sync::watch_until(look, ipc::default_spin)) break;
  }
  if (own.of == nullptr) return;
  // To decode it is the user's code, which may wait for a call of this pool.
  held.lock();
  give_up_helping(awaited);
  held.unlock();
  tell(own);
}

/// Under the lock. Nothing, if it was done before.
void process_pool_executor::impl::give_up_helping(const detail::state_base& awaited) noexcept {
  if (helping_ != this_thread_mark()) return;
  helping_ = nullptr;
  helped_ = true;
  // It takes longer: now the worker has to ring for its answer.
  if (!awaited.done() && !arm_all()) wake_collector();
}

void process_pool_executor::impl::end_help(detail::state_base& awaited) noexcept {
  const std::lock_guard held{mutex_};
  give_up_helping(awaited);
  --helpers_;
  // release: pairs with the acquire in wait_until_idle().
  changes_.fetch_add(1, std::memory_order_release);
  if (closed()) sync::futex_wake(&changes_, INT32_MAX);
}

}  // namespace cadre
