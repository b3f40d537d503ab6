// SPDX-License-Identifier: MIT
// What the owner of a pool does to it while it works: more or fewer workers, a pause, a wait until it has
// nothing to do.
#include <cadre/errors.hpp>

#include <mutex>
#include <vector>

#include "executor/thread_pool.hpp"

namespace cadre {

void thread_pool_executor::impl::place_list::grow_to(std::size_t count) {
  if (count <= size()) return;
  // Once, since they must stay where they are.
  rest_ = std::vector<place>(most_workers + max_replacements - first_.size());
}

void thread_pool_executor::impl::resize(int max_workers) {
  const unsigned count = checked(max_workers);
  if (forked()) refuse();
  {
    const std::lock_guard lock{places_mutex_};
    places_.grow_to(count + max_replacements);
    queue.set_max_workers(count);
  }
  if ((queue.has_work() || !deques_empty()) && queue.stimulate()) try_start_worker();
}

void thread_pool_executor::impl::resume() noexcept {
  if (forked()) return;
  queue.resume();
  if ((queue.has_work() || !deques_empty()) && queue.stimulate()) try_start_worker();
}

/// A worker that sleeps has told all futures of its calls; one that is only idle may be about to.
bool thread_pool_executor::impl::is_idle() noexcept {
  const detail::census c = queue.now();
  // seq_cst: pairs with the changes in run_here().
  if (c.parked() != c.live() || running_here_.load(std::memory_order_seq_cst) != 0 || held()) {
    return false;
  }
  return queue.paused() || (queue.nothing_waits() && deques_empty());
}

void thread_pool_executor::impl::tell_idle() noexcept {
  // seq_cst: after the change of which it tells; pairs with the increment in wait_idle(), after which
  // that looks.
  if (idle_waiters_.load(std::memory_order_seq_cst) == 0) return;
  rests_.fetch_add(1, std::memory_order_release);  // release: pairs with the acquire in wait_idle()
  sync::futex_wake(&rests_, INT32_MAX);
}

bool thread_pool_executor::impl::wait_idle(sync::time_point deadline) {
  if (forked()) return true;
  if (own_worker_here() != nullptr) {
    throw deadlock_error{
        "thread_pool \"" + options_.thread_name_prefix +
        "\": a call of the pool waits until no call of the pool runs; that would wait "
        "for ever: wait outside of its calls, or for their futures"};
  }
  const detail::blocking_scope scope{nullptr, 0, false};
  idle_waiters_.fetch_add(1, std::memory_order_seq_cst);  // seq_cst: pairs with tell_idle()
  bool idle = false;
  for (bool in_time = true; !idle && in_time;) {
    // acquire: pairs with the release in tell_idle().
    const std::uint32_t seen = rests_.load(std::memory_order_acquire);
    idle = is_idle();
    if (!idle) in_time = sync::futex_wait(rests_, seen, deadline);
  }
  idle_waiters_.fetch_sub(1, std::memory_order_relaxed);  // relaxed: one wake-up too many, at most
  return idle;
}

}  // namespace cadre
