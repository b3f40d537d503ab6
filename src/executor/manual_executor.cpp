// SPDX-License-Identifier: MIT
#include <cadre/detail/call.hpp>
#include <cadre/errors.hpp>
#include <cadre/manual_executor.hpp>

#include <chrono>
#include <climits>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "executor/call_list.hpp"
#include "executor/dispatcher.hpp"
#include "executor/histogram.hpp"
#include "executor/wait_graph.hpp"
#include "future/waiter.hpp"
#include "sync/futex.hpp"
#include "sync/mutex.hpp"

namespace cadre {

using clock = std::chrono::steady_clock;

class manual_executor::impl final : public detail::call_owner, private detail::call_registry {
 public:
  bool withdraw(detail::state_base&) noexcept override {
    cancelled_.fetch_add(1, std::memory_order_relaxed);  // relaxed: statistics order nothing
    return true;
  }

  void push(detail::state_base& call, int priority) {
    call.set_owner(this, detail::fork_generation());
    {
      const std::lock_guard lock{mutex_};
      if (!queue_.push(call, priority)) {
        throw shutdown_error{
            "manual_executor: cannot submit after shutdown; the call was not accepted: submit it "
            "to another executor"};
      }
      ++stats_.submitted;
    }
    // release: pairs with the acquire in run_by(); who sees it finds the call.
    pushed_.fetch_add(1, std::memory_order_release);
    sync::futex_wake(&pushed_, INT_MAX);
  }

  bool run_one() {
    while (detail::state_base* const call = queue_.pop()) {
      if (run(*call)) return true;
    }
    return false;
  }

  std::size_t run_by(detail::time_point deadline) {
    std::size_t ran = 0;
    while (clock::now() < deadline) {
      // acquire: pairs with the release in push().
      const std::uint32_t seen = pushed_.load(std::memory_order_acquire);
      if (run_one()) {
        ++ran;
        continue;
      }
      if (closed()) break;
      const detail::blocking_scope scope{nullptr, 0, false};
      sync::futex_wait(pushed_, seen, deadline);
    }
    return ran;
  }

  /// Of a call that a call waits for.
  void run_pending(detail::state_base& call) {
    if (!call.owned_by(this) || !call.try_start()) return;
    call.add_ref();  // the queue's is dropped when its turn comes
    execute(call);
  }

  void close() {
    queue_.close();
    closed_.store(true, std::memory_order_release);  // release: pairs with the acquire in closed()
    // release: pairs with the acquire in run_by(), which then sees that it is closed.
    pushed_.fetch_add(1, std::memory_order_release);
    sync::futex_wake(&pushed_, INT_MAX);
  }

  /// What has begun, and is to go on, is run, if there is time for that.
  void cancel_all(detail::time_point deadline) {
    while (detail::state_base* const call = queue_.pop()) {
      if (call->is_rest() && clock::now() < deadline) {
        execute(*call);
        continue;
      }
      if (call->is_posted()) {
        call->fail(nullptr);
        withdraw(*call);
      } else {
        call->cancel();
      }
      call->release();
    }
  }

  /// What other threads run. `ask`: to stop.
  shutdown_report report_running(bool ask) {
    shutdown_report report;
    std::vector<detail::ref<detail::state_base>> calls;
    {
      const std::lock_guard lock{mutex_};
      report.still_running = static_cast<std::size_t>(running_);
      report.complete = running_ == 0;
      for (entry* e = running_calls_.first(); e != nullptr; e = e->next)
        calls.emplace_back(e->call);
    }
    for (const auto& call : calls) {
      if (!call->name().empty()) report.names.emplace_back(call->name());
      if (ask) call->request_stop();
    }
    return report;
  }

  executor_stats stats() {
    const std::lock_guard lock{mutex_};
    executor_stats s = stats_;
    s.running = running_;
    s.cancelled = cancelled_.load(std::memory_order_relaxed);  // relaxed: statistics order nothing
    const std::uint64_t gone = s.finished + s.failed + s.cancelled + s.running;
    s.pending = s.submitted > gone ? s.submitted - gone : 0;
    s.run_time = detail::summarise(run_times_);
    return s;
  }

 private:
  class runner;

  /// False if it was cancelled, or run by who waited for it.
  bool run(detail::state_base& call) {
    if (!call.is_posted() && !call.try_start()) {
      call.release();
      return false;
    }
    execute(call);
    return true;
  }

  /// Takes over one reference.
  void execute(detail::state_base& call);

  void enter(entry& e) noexcept override {
    const std::lock_guard lock{mutex_};
    running_calls_.add(e);
  }
  void leave(entry& e) noexcept override {
    const std::lock_guard lock{mutex_};
    running_calls_.remove(e);
  }

  bool closed() const noexcept {
    return closed_.load(std::memory_order_acquire);  // acquire: pairs with close()
  }

  sync::mutex mutex_;
  sync::atomic<std::size_t> size_{0};  // of the queue
  detail::priority_queue queue_{size_};
  sync::atomic<std::uint32_t> pushed_{0};  // a futex word
  sync::atomic<bool> closed_{false};
  sync::atomic<std::uint64_t> cancelled_{0};
  executor_stats stats_;  // guarded by mutex_, as all below
  std::uint64_t running_ = 0;
  detail::histogram run_times_;
  detail::call_list running_calls_;  // of those with a name or a way to stop
};

/// A thread while it runs a call: it runs those that the call waits for, too. It may be a worker of another
/// pool.
class manual_executor::impl::runner final : public detail::waiting_worker {
 public:
  runner(impl& of, const detail::state_base& call) noexcept
      : of_{of},
        outer_{detail::set_this_thread_worker(this)},
        frame_{&call, std::exchange(stack_here(), &frame_)} {}
  ~runner() {
    stack_here() = frame_.caller;
    detail::set_this_thread_worker(outer_);
  }
  runner(const runner&) = delete;
  runner& operator=(const runner&) = delete;

  void claim(detail::state_base& awaited) override {
    of_.run_pending(awaited);
    // What it waits for may be behind others, or a then() here. Nobody else may run them.
    while (!awaited.done() && of_.run_one()) {
    }
    if (outer_ != nullptr) outer_->claim(awaited);
  }
  void begin_block(detail::state_base* const* awaited, std::size_t count,
                   bool untimed_all) override {
    if (untimed_all) {
      blocked_ = {&frame_, awaited, count};
      detail::remember_blocked(blocked_);
    }
    remembered_ = untimed_all;
    if (outer_ == nullptr) return;
    try {
      outer_->begin_block(awaited, count, untimed_all);
    } catch (...) {  // then nobody calls end_block()
      if (std::exchange(remembered_, false)) detail::forget_blocked(blocked_);
      throw;
    }
  }
  void end_block() noexcept override {
    if (outer_ != nullptr) outer_->end_block();
    if (std::exchange(remembered_, false)) detail::forget_blocked(blocked_);
  }
  void begin_callbacks() noexcept override {
    if (outer_ != nullptr) outer_->begin_callbacks();
  }
  bool works_for(const void* identity) const noexcept override { return identity == &of_; }
  const waiting_worker* outer() const noexcept override { return outer_; }
  void repost(detail::state_base& call) override { of_.push(call, 0); }

 private:
  /// The calls of manual executors that run on this thread, each of which waits for the one above it.
  static const detail::call_frame*& stack_here() noexcept {
    constinit static thread_local const detail::call_frame* innermost = nullptr;
    return innermost;
  }

  impl& of_;
  detail::waiting_worker* const outer_;
  const detail::call_frame frame_;
  detail::blocked_worker blocked_{};
  bool remembered_ = false;
};

void manual_executor::impl::execute(detail::state_base& call) {
  {
    const std::lock_guard lock{mutex_};
    ++running_;
  }
  const auto begin = clock::now();
  bool returned = false;
  {
    const detail::token_scope no_token{nullptr};  // the call has its own, or none
    const runner here{*this, call};
    detail::run_context context;
    context.registry = this;
    returned = call.run(context);
  }
  const std::chrono::nanoseconds took = clock::now() - begin;
  call.release();
  const std::lock_guard lock{mutex_};
  --running_;
  ++(returned ? stats_.finished : stats_.failed);
  run_times_.add(static_cast<std::uint64_t>(took.count()), 1);
}

manual_executor::manual_executor() : impl_{std::make_shared<impl>()} {}
manual_executor::~manual_executor() { shutdown(); }

// Whoever sees a result may destroy this executor before the call has returned here.
bool manual_executor::run_one() {
  const std::shared_ptr<impl> kept = impl_;
  return kept->run_one();
}

std::size_t manual_executor::run_all() {
  const std::shared_ptr<impl> kept = impl_;
  std::size_t ran = 0;
  while (kept->run_one()) ++ran;
  return ran;
}

std::size_t manual_executor::run_by(detail::time_point deadline) {
  const std::shared_ptr<impl> kept = impl_;
  return kept->run_by(deadline);
}

void manual_executor::do_enqueue(detail::state_base& call, const submit_options& options) {
  detail::refuse_limits("manual_executor", options);
  const std::shared_ptr<impl> kept = impl_;  // it may be run, and this destroyed, at once
  kept->push(call, options.priority);
}

shutdown_report manual_executor::do_shutdown(const shutdown_options& options) {
  const std::shared_ptr<impl> kept = impl_;
  kept->close();
  const auto deadline = detail::deadline_after(options.deadline);
  constexpr auto no_time = detail::time_point::min();
  if (options.cancel_pending) kept->cancel_all(options.wait ? deadline : no_time);
  if (options.wait) {
    while (clock::now() < deadline && kept->run_one()) {
    }
    kept->cancel_all(no_time);
  }
  return kept->report_running(options.deadline.has_value());
}

executor_stats manual_executor::do_stats() const { return impl_->stats(); }

}  // namespace cadre
