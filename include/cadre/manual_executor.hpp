// SPDX-License-Identifier: MIT
// manual_executor: calls that wait until a thread runs them: a main loop, or a test.
//
//     cadre::manual_executor ui;
//     pool.submit(&render, scene).then(ui, [&](const image& i) { window.show(i); });
//     while (window.is_open()) { window.poll_events(); ui.run_for(5ms); }
//
// Threads    Any thread may submit, and any may run calls, several at the same time. max_workers() is 1, since
//            the executor does not know how many there will be.
// Order      Higher priorities first, equal ones in the order of their submission.
// Waiting    A call that waits for a pending one of this executor runs it, and if need be others that are
//            pending; one that waits for itself gets deadlock_error. What is only submitted here later (by
//            a timer, a then() of another pool's call) needs another thread that runs it, and so does what
//            a thread outside of a call waits for.
// Lifetime   It must outlive the futures whose then() names it: let the pools that feed it end first, or
//            shut it down and keep it until they have. shutdown(), and so the destructor, runs what is left,
//            on this thread, up to its deadline; then, or with cancel_pending, it cancels that. It does not
//            wait for what other threads run, which with a deadline is asked to stop: the report says what
//            that is.
// Errors     What a call throws is its future's. std::bad_alloc of submit.
// Source     folly's ManualExecutor; the loops of asyncio, Qt and Asio.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/deadline.hpp>
#include <cadre/local_executor.hpp>

#include <chrono>
#include <cstddef>
#include <memory>

namespace cadre {

class CADRE_API manual_executor final : public local_executor {
 public:
  manual_executor();
  ~manual_executor() override;

  /// Runs the next call. False, at once, if there is none.
  bool run_one();
  /// Runs calls until none is left, those among them that calls submit. Returns how many there were.
  std::size_t run_all();
  /// Runs calls, and waits for more, until the time is over; a call that has begun is run to its end, and
  /// no other begins. Returns how many there were; early, if it is shut down. A time <= 0 runs none.
  template <typename Rep, typename Period>
  std::size_t run_for(std::chrono::duration<Rep, Period> time) {
    return run_by(detail::deadline_after(time));
  }
  template <typename Clock, typename Duration>
  std::size_t run_until(std::chrono::time_point<Clock, Duration> time) {
    return run_by(detail::deadline_at(time));
  }

 private:
  class impl;

  std::size_t run_by(detail::time_point deadline);
  void do_enqueue(detail::state_base& call, const submit_options& options) override;
  shutdown_report do_shutdown(const shutdown_options& options) override;
  executor_stats do_stats() const override;
  unsigned do_max_workers() const noexcept override { return 1; }
  const void* do_identity() const noexcept override { return impl_.get(); }

  std::shared_ptr<impl> impl_;
};

}  // namespace cadre
