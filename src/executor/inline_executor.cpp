// SPDX-License-Identifier: MIT
#include <cadre/detail/call.hpp>
#include <cadre/errors.hpp>
#include <cadre/inline_executor.hpp>

#include <chrono>
#include <mutex>

#include "executor/histogram.hpp"
#include "sync/mutex.hpp"

namespace cadre {

class inline_executor::impl {
 public:
  void run(detail::state_base& call) {
    {
      const std::lock_guard lock{mutex_};
      if (closed_) {
        throw shutdown_error{
            "inline_executor: cannot submit after shutdown; the call was not accepted: submit it "
            "to "
            "another executor"};
      }
      ++stats_.submitted;
      ++stats_.running;
    }
    bool cancelled = false;
    bool returned = false;
    const auto begin = std::chrono::steady_clock::now();
    if (call.is_posted() || call.try_start()) {
      const detail::token_scope no_token{nullptr};  // the call has its own, or none
      detail::run_context context;
      returned = call.run(context);
    } else {
      cancelled = true;
    }
    const std::chrono::nanoseconds took = std::chrono::steady_clock::now() - begin;
    call.release();
    const std::lock_guard lock{mutex_};
    --stats_.running;
    ++(cancelled ? stats_.cancelled : returned ? stats_.finished : stats_.failed);
    queue_times_.add(0, 1);
    run_times_.add(static_cast<std::uint64_t>(took.count()), 1);
  }

  void close() {
    const std::lock_guard lock{mutex_};
    closed_ = true;
  }

  executor_stats stats() {
    const std::lock_guard lock{mutex_};
    executor_stats s = stats_;
    s.queue_time = detail::summarise(queue_times_);
    s.run_time = detail::summarise(run_times_);
    return s;
  }

 private:
  sync::mutex mutex_;
  bool closed_ = false;  // guarded by mutex_, as all below
  executor_stats stats_;
  detail::histogram queue_times_;
  detail::histogram run_times_;
};

inline_executor::inline_executor() : impl_{std::make_shared<impl>()} {}
inline_executor::~inline_executor() { shutdown(); }

void inline_executor::do_enqueue(detail::state_base& call, const submit_options& options) {
  detail::refuse_limits("inline_executor", options);
  // Whoever sees the result may destroy this executor before run() returns here.
  const std::shared_ptr<impl> kept = impl_;
  kept->run(call);
}

shutdown_report inline_executor::do_shutdown(const shutdown_options&) {
  impl_->close();
  return {};
}

executor_stats inline_executor::do_stats() const { return impl_->stats(); }

}  // namespace cadre
