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
  wake_for_work();
}

/// While a submitter runs a call itself.
class thread_pool_executor::impl::submitters_call {
 public:
  explicit submitters_call(impl& pool) noexcept : pool_{pool}, outer_{std::exchange(here, this)} {
    pool_.running_here_.fetch_add(1, std::memory_order_seq_cst);  // seq_cst: pairs with is_idle()
  }
  ~submitters_call() {
    here = outer_;
    pool_.running_here_.fetch_sub(1, std::memory_order_seq_cst);  // seq_cst: pairs with is_idle()
    pool_.tell_idle();
  }
  submitters_call(const submitters_call&) = delete;
  submitters_call& operator=(const submitters_call&) = delete;

  static bool is_of(const impl& pool) noexcept {
    const submitters_call* call = here;
    while (call != nullptr && &call->pool_ != &pool) call = call->outer_;
    return call != nullptr;
  }

 private:
  static constinit thread_local const submitters_call* here;

  impl& pool_;
  const submitters_call* const outer_;
};

constinit thread_local const thread_pool_executor::impl::submitters_call*
    thread_pool_executor::impl::submitters_call::here = nullptr;

void thread_pool_executor::impl::run_here(detail::state_base& call) noexcept {
  run_by_callers_.fetch_add(1, std::memory_order_relaxed);  // relaxed: statistics order nothing
  const submitters_call running{*this};
  const detail::token_scope no_token{nullptr};  // the call has its own, or none
  detail::run_context context;
  if (call.is_posted() || call.try_start()) {
    auto& ended = ended_elsewhere_[call.run(context)];
    ended.fetch_add(1, std::memory_order_relaxed);  // relaxed: statistics order nothing
  }
  call.release();
}

/// This thread runs a call of this pool, perhaps far down its stack.
bool thread_pool_executor::impl::is_call_here() const noexcept {
  const detail::waiting_worker* worker = detail::this_thread_worker();
  while (worker != nullptr && !worker->works_for(this)) worker = worker->outer();
  return worker != nullptr || submitters_call::is_of(*this);
}

void thread_pool_executor::impl::pause() noexcept {
  queue.pause();
  // seq_cst: pairs with the store in shutdown(), which resumes after it: one of the two is the last.
  if (refusing_.load(std::memory_order_seq_cst)) resume();
}

void thread_pool_executor::impl::resume() noexcept {
  if (forked()) return;
  queue.resume();
  wake_for_work();
}

/// For calls that wait, when workers may begin them that might not before.
void thread_pool_executor::impl::wake_for_work() noexcept {
  if ((queue.has_work() || !deques_empty()) && queue.stimulate()) try_start_worker();
}

/// A worker that sleeps has told all futures of its calls; one that is only idle may be about to.
bool thread_pool_executor::impl::is_idle() noexcept {
  const detail::census c = queue.now();
  // seq_cst: pairs with the changes in run_here().
  if (c.parked() != c.live() || running_here_.load(std::memory_order_seq_cst) != 0) return false;
  return queue.paused() || (!held() && queue.nothing_waits() && deques_empty());
}

void thread_pool_executor::impl::tell_idle() noexcept {
  // seq_cst: after the change of which it tells; pairs with the increment in wait_idle(), after which
  // that looks.
  if (idle_waiters_.load(std::memory_order_seq_cst) == 0) return;
  rests_.fetch_add(1, std::memory_order_release);  // release: pairs with the acquire in wait_idle()
  sync::futex_wake(&rests_, INT32_MAX);
}

bool thread_pool_executor::impl::wait_idle(sync::time_point deadline) {
  if (forked()) refuse();
  if (is_call_here()) {
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
