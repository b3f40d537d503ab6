// SPDX-License-Identifier: MIT
// crew: the threads of a pool on which its user's code runs. Nobody waits for them but whoever wants them
// to have ended.
//
//     crew.run(self, [] { ... });        // soon, on one of its threads
//     crew.end();                        // when idle(): each thread ends
//
// Number     One works off the jobs, which are short as a rule. If it blocks in a wait of cadre's, another one
//            takes its place at once: what it waits for may be the next job. If it blocks elsewhere, whoever
//            looks after the crew finds that it falls_behind(), and calls grow(). One that was idle for a
//            while ends.
// Threads    All functions from any thread, join() from one that is none of them.
// Signals    A job runs with the signal mask of the thread that made the crew; threads without a job take
//            no signals. They are scheduled as that thread was.
// Errors     Without memory or processes for a new thread a job waits for one that becomes free, or until
//            grow() succeeds. If there is none at all, whoever waits for the end of the pool runs it.
#pragma once

#include <signal.h>
#include <cadre/detail/unique_function.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/scheduling.hpp"
#include "future/waiter.hpp"
#include "sync/mutex.hpp"
#include "sync/parker.hpp"

namespace cadre::process {

class crew {
 public:
  using job = detail::unique_function<void()>;
  /// Kept by each thread until it ends; the crew is a part of it.
  using keeper = std::shared_ptr<void>;

  /// `when_idle` is called on a thread of the crew whenever idle() became true.
  explicit crew(job when_idle) : when_idle_{std::move(when_idle)} {
    ::pthread_sigmask(SIG_SETMASK, nullptr, &makers_signals_);
  }
  ~crew() { join(); }

  /// False if it has to wait.
  bool run(const keeper& owner, job work);

  /// No job waits or runs.
  bool idle() const noexcept;
  /// Jobs wait, and more threads may take them.
  bool has_waiting() const noexcept;
  /// As that; and none has ended for `patience`.
  bool falls_behind(std::chrono::nanoseconds patience) noexcept;
  /// Doubles the number of threads that work.
  void grow(const keeper& owner) noexcept;
  /// Runs the first job on this thread if there is not one thread for it. False if there is no need.
  bool run_here();

  /// Requires idle(), and that nothing is added any more.
  void end() noexcept;
  /// Blocks until all threads have ended. On one of them, that one is left to itself.
  void join() noexcept;

 private:
  class member;

  // More: more of the user's callbacks may block, in whatever they like, before others wait for them. Each
  // is a stack of 8 MiB, of which some pages are used.
  static constexpr std::size_t most_busy = 64;
  // With those that are blocked in waits. A wait beyond it throws deadlock_error.
  static constexpr std::size_t most_threads = 1000;

  bool may_grow() const noexcept;
  bool jobs_wait() const noexcept;
  bool give(const keeper& owner, job& work, void (*wake)(sync::parker&) noexcept) noexcept;
  void give_first(const keeper& owner) noexcept;
  bool add_thread(keeper owner, job& first) noexcept;
  void work(member& self);
  bool wait_for_job(member& self);
  void leave();
  void begin_block(const keeper& owner, bool untimed);
  void end_block() noexcept;

  const job when_idle_;
  sigset_t makers_signals_;
  const scheduling makers_scheduling_ = scheduling::of_this_thread();

  mutable sync::mutex mutex_;  // guards what follows
  std::deque<job> jobs_;
  std::size_t running_ = 0;  // jobs
  std::size_t blocked_ = 0;  // of these, in a wait
  std::uint64_t ended_jobs_ = 0;
  // How many there were when falls_behind() last saw that more had ended, or a job began to wait; and when.
  std::uint64_t seen_ended_ = 0;
  std::chrono::steady_clock::time_point seen_at_{};
  std::vector<member*> free_;  // the last one slept least
  std::list<std::thread> threads_;
  std::thread gone_;  // the last one that left; it joins the one before
  bool ended_ = false;
};

}  // namespace cadre::process
