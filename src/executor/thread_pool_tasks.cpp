// SPDX-License-Identifier: MIT
// What a pool does for tasks, which leave their worker and go on later. From its first stretch to
// its end a task holds the pool: it closes when shutdown() has begun and nothing holds it.
//
// All workers would write the count of holds, twice for each task. So a worker takes many at once,
// and keeps those that its tasks give back for the next ones. It has none when it is idle, so the
// pool closes at the latest when the last call of a worker is at its end, for which shutdown() waits
// in any case.
#include <mutex>
#include <utility>

#include "executor/thread_pool.hpp"

namespace cadre {
namespace {

// More: fewer visits to the shared count. Fewer: the sooner those that only submit tasks now and
// then have none to give back.
constexpr unsigned holds_at_once = 64;

}  // namespace

void thread_pool_executor::impl::hold() {
  // relaxed: as enqueue(). A late look is as if the task had come before shutdown().
  if (forked() || refusing_.load(std::memory_order_relaxed)) refuse();
  detail::worker* const own = own_worker_here();
  if (own != nullptr && own->spare_holds != 0) {
    --own->spare_holds;
    return;
  }
  const unsigned count = own != nullptr ? holds_at_once : 1;
  // acquire: pairs with the release half in close_unless_held(), as refuse() reads why.
  if ((holds_.fetch_add(2UL * count, std::memory_order_acquire) & 1) != 0) {
    give_back_holds(count);
    refuse();
  }
  if (own != nullptr) own->spare_holds = count - 1;
}

void thread_pool_executor::impl::release() noexcept {
  if (forked()) return;
  detail::worker* const own = own_worker_here();
  if (own == nullptr) {
    const auto keep = shared_from_this();  // without the hold, the pool may end
    give_back_holds(1);
    tell_idle();
    return;
  }
  if (++own->spare_holds < 2 * holds_at_once) return;
  own->spare_holds -= holds_at_once;
  give_back_holds(holds_at_once);
}

void thread_pool_executor::impl::give_back_holds(unsigned count) noexcept {
  // acq_rel: release pairs with the acquire half of the last one, which closes; acquire also with
  // the release in close_unless_held().
  if (holds_.fetch_sub(2UL * count, std::memory_order_acq_rel) == 2UL * count + 1) close();
}

/// Closes now, or when the last task ends.
void thread_pool_executor::impl::close_unless_held() {
  {
    const std::lock_guard lock{suspended_mutex_};
    self_ = shared_from_this();
  }
  // acq_rel: pairs with those in give_back_holds(), for self_.
  if (holds_.fetch_or(1, std::memory_order_acq_rel) < 2) close();
}

void thread_pool_executor::impl::close() noexcept {
  queue.close();
  departures_.fetch_add(1, std::memory_order_release);  // release: pairs with wait_for_workers()
  sync::futex_wake(&departures_, INT32_MAX);
  std::shared_ptr<impl> self;
  const std::lock_guard lock{suspended_mutex_};
  self.swap(self_);
}

void thread_pool_executor::impl::resume_task(detail::state_base& rest, int priority) {
  if (forked()) refuse();
  rest.set_owner(this, generation_);
  if (room_) room_->enter_anyway();
  detail::worker* own = priority == 0 ? own_worker_here() : nullptr;
  if (own != nullptr) {
    repost(*own, rest);
    return;
  }
  // The task may end, and then the pool, before accept() is back.
  const auto keep = shared_from_this();
  keep_room([&] { accept(rest, priority); });
}

bool thread_pool_executor::impl::take_back(detail::state_base& call) noexcept {
  detail::worker* const own = own_worker_here();
  if (own == nullptr || !own->take_back(call)) return false;
  call_begins();
  return true;
}

void thread_pool_executor::impl::enter(detail::call_registry::entry& e) noexcept {
  const std::lock_guard lock{suspended_mutex_};
  suspended_.add(e);
}

void thread_pool_executor::impl::leave(detail::call_registry::entry& e) noexcept {
  const std::lock_guard lock{suspended_mutex_};
  suspended_.remove(e);
}

void thread_pool_executor::impl::stop_suspended() {
  std::vector<detail::ref<detail::state_base>> tasks;
  {
    const std::lock_guard lock{suspended_mutex_};
    for (auto* e = suspended_.first(); e != nullptr; e = e->next) tasks.emplace_back(e->call);
  }
  // Without the lock: stop callbacks are user code.
  for (const auto& task : tasks) task->request_stop();
}

void thread_pool_executor::impl::add_suspended(shutdown_report& report) {
  const std::lock_guard lock{suspended_mutex_};
  for (const auto* e = suspended_.first(); e != nullptr; e = e->next) {
    ++report.still_running;
    if (!e->call->name().empty()) report.names.emplace_back(e->call->name());
  }
}

/// Puts the rest of a task back, which is not to be cancelled.
void thread_pool_executor::impl::requeue(detail::state_base& rest) noexcept {
  // relaxed: statistics order nothing. The queue counts it twice.
  ended_elsewhere_[true].fetch_add(1, std::memory_order_relaxed);
  try {
    keep_room([&] { accept(rest, 0); });
  } catch (...) {
    rest.fail(std::current_exception());
    rest.release();
  }
}

}  // namespace cadre
