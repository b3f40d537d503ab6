// SPDX-License-Identifier: MIT
// thread_pool_executor: calls on threads.
//
//     cadre::thread_pool_executor pool{{.max_workers = 8}};
//     auto sum = pool.submit([](int a, int b) { return a + b; }, 1, 2);
//     std::cout << sum.get();
//
// Workers    Threads start on demand, one per call while none is idle, up to max_workers. Idle ones
//            spin for a few microseconds if that paid lately, then sleep; an idle pool uses no CPU.
//            They have the CPU affinity, scheduling, nice value and blocked signals of the thread that
//            made the pool, as far as the system allows: to be less nice than the thread that submits
//            takes CAP_SYS_NICE.
// Order      Calls begin in the order of their submission by one thread, higher priorities first.
//            Calls that a worker submits queue up at that worker, and idle workers take from there.
// Waiting    A worker that waits for a pending call of its own pool runs it. When all workers are
//            blocked, a further one starts, up to 64 times. So calls may wait for calls.
// Control    resize(), pause() and wait_idle() from any thread, as the rest.
// Lifetime   The destructor is shutdown({.wait = true}). Destroyed by one of its own calls, it does
//            not wait; the rest is run first. Futures outlive the pool. In a child of fork() every
//            use throws broken_executor, and the destructor does nothing.
// Tasks      A suspended task (coro.hpp) is a call that runs: shutdown() waits for it.
// Errors     std::invalid_argument for impossible options; std::system_error when the first thread
//            cannot be started; std::bad_alloc. Of a call that submit() throws for nothing is left, and
//            the pool goes on. Only a thread that has no memory for its first thread_local object is
//            ended by the C library, and with it the program.
// Cost       50 to 75 ns per call with a future. See benchmarks/RESULTS.md.
// Source     Python's concurrent.futures.ThreadPoolExecutor.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/deadline.hpp>
#include <cadre/detail/unique_function.hpp>
#include <cadre/local_executor.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cadre {

/// What submit does when max_pending calls are pending already. The pool's own workers are never
/// held up: they would wait for themselves.
enum class when_full {
  block,        ///< waits for room; throws shutdown_error if the pool shuts down meanwhile
  reject,       ///< throws queue_full
  caller_runs,  ///< runs the call in submit(), on the caller's thread
};

struct thread_pool_options {
  std::optional<int> max_workers = {};  ///< > 0; none: usable_cpus()
  std::string thread_name_prefix = {};  ///< threads are named <prefix>_<number>; none: pool-<n>
  detail::unique_function<void()> initializer = {};  ///< runs first on each worker; if it throws,
                                                     ///< the pool is broken
  detail::unique_function<void()> finalizer = {};    ///< runs last on each worker
  /// A worker that found nothing to do for so long ends; not negative.
  std::chrono::nanoseconds idle_timeout = std::chrono::nanoseconds::max();
  std::optional<std::size_t> max_pending = {};  ///< > 0; none: no bound
  cadre::when_full when_full = cadre::when_full::block;
  /// How long an idle worker looks for work before it sleeps, at most; not negative.
  std::chrono::nanoseconds spin = std::chrono::microseconds{20};
  std::vector<int> affinity = {};  ///< CPU numbers; worker i runs on number i of these, cyclically
  std::size_t stack_size = 0;  ///< bytes of each worker's stack; 0: the system's own, often 8 MiB
  bool prestart = false;       ///< all workers start in the constructor, none on demand
};

class CADRE_API thread_pool_executor final : public local_executor {
 public:
  explicit thread_pool_executor(thread_pool_options options = {});
  /// As many workers as `max_workers`.
  explicit thread_pool_executor(int max_workers)
      : thread_pool_executor{thread_pool_options{.max_workers = max_workers}} {}
  ~thread_pool_executor() override;

  /// From now on there may be so many workers. Further ones start when calls need them; of too many, the
  /// idle ones end at once and the others behind the call that they run. Does not block. Throws
  /// std::invalid_argument if the number is not between 1 and 2000, std::bad_alloc, and broken_executor in
  /// a child of fork(); nothing changed then.
  void resize(int max_workers);

  /// Workers begin no queued call until resume(), but those that they are about to begin: wait_idle() waits
  /// for these. What runs goes on. If it waits by get(), or without a time limit for all of some calls,
  /// those of this pool among them are run as well; anything else that it waits for and that is queued
  /// here, as a then() on this pool, comes after resume(). when_full::caller_runs still runs calls.
  /// shutdown(), and so the destructor, resumes, with `cancel_pending` after it has cancelled; from then on
  /// pause() does nothing, nor in a child of fork(). Idempotent, and does not block.
  void pause() noexcept;
  void resume() noexcept;
  bool is_paused() const noexcept;

  /// Blocks until no call runs or is suspended, and none is pending; while the pool is paused, until none
  /// runs. All futures of those calls are done then. Calls that others submit meanwhile count; timers that
  /// have not come do not. Throws deadlock_error in a call of the pool itself, and broken_executor in a
  /// child of fork(). Pools whose calls wait so for each other wait for ever.
  void wait_idle() { wait_idle_by(detail::never); }
  /// False if the time is over before.
  template <typename Rep, typename Period>
  bool wait_idle_for(std::chrono::duration<Rep, Period> time) {
    return wait_idle_by(detail::deadline_after(time));
  }
  template <typename Clock, typename Duration>
  bool wait_idle_until(std::chrono::time_point<Clock, Duration> time) {
    return wait_idle_by(detail::deadline_at(time));
  }

 private:
  class impl;

  bool wait_idle_by(detail::time_point deadline);
  void do_enqueue(detail::state_base& call, const submit_options& options) override;
  void do_enqueue_all(detail::state_base*& first, std::size_t count) override;
  shutdown_report do_shutdown(const shutdown_options& options) override;
  executor_stats do_stats() const override;
  unsigned do_max_workers() const noexcept override;
  const void* do_identity() const noexcept override;
  detail::task_host& do_task_host() noexcept override;

  std::shared_ptr<impl> impl_;
};

/// The processors that this process may use: the smaller of its affinity mask and its cgroup's CPU
/// quota (v1 or v2), rounded up; CADRE_MAX_WORKERS in the environment overrides both. At least 1.
CADRE_API unsigned usable_cpus();

}  // namespace cadre
