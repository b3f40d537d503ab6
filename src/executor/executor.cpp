// SPDX-License-Identifier: MIT
#include <cadre/executor.hpp>
#include <cadre/local_executor.hpp>

#include <stdexcept>
#include <utility>

#include "executor/timers.hpp"
#include "future/waiter.hpp"

namespace cadre {

executor::~executor() = default;
local_executor::~local_executor() = default;

shutdown_report executor::shutdown(const shutdown_options& options) {
  detail::timers::end(*this);
  shutdown_report report = do_shutdown(options);
  detail::timers::end(*this);  // those that its calls have set meanwhile
  return report;
}

void executor::do_enqueue_all(detail::state_base*& first, std::size_t count) {
  for (; count > 0; --count) {
    detail::state_base* next = first->queue_next;
    do_enqueue(*first, {});
    first = next;
  }
}

void local_executor::resume_task(detail::state_base& rest, int priority) {
  detail::executor_access::enqueue(*this, rest, {.priority = priority});
}

namespace detail {

call_chain::~call_chain() {
  while (first_ != nullptr) std::exchange(first_, first_->queue_next)->release();
}

void call_chain::push(state_base& call) noexcept {
  call.queue_next = nullptr;
  (first_ == nullptr ? first_ : last_->queue_next) = &call;
  last_ = &call;
  ++count_;
}

void call_chain::submit(executor& where, const submit_options& options) {
  if (first_ == nullptr) return;
  if (options.priority == 0) {
    executor_access::enqueue_all(where, first_, count_);
    first_ = nullptr;
  }
  while (first_ != nullptr) {
    state_base* const next = first_->queue_next;
    executor_access::enqueue(where, *first_, options);
    first_ = next;
  }
}

void throw_limits(const char* who) {
  throw std::invalid_argument{std::string{who} +
                              ": timeout, retries and max_memory need worker processes, since "
                              "threads cannot be killed; the call was not accepted: submit it to a "
                              "process_pool_executor, or with if_possible, or without them"};
}

void throw_empty_callable(const char* who) {
  throw std::invalid_argument{std::string{who} +
                              ": the callable is empty (a null pointer or an empty std::function); "
                              "nothing was submitted"};
}

namespace {

/// Runs a call that is no longer its maker's alone: the reader of its future may cancel it meanwhile,
/// so it cannot change its owner, and goes into no queue itself.
class proxy_call final : public state_base {
 public:
  explicit proxy_call(state_base& call) : state_base{posted}, call_{&call} {}

  bool run(run_context& context) noexcept override {
    const ref call = std::move(call_);
    if (!call->try_start()) {
      context.about_to_publish(true);
      return true;
    }
    if (context.runs != nullptr) *context.runs = call.get();  // which others wait for
    const bool returned = call->run(context);
    if (context.runs != nullptr) *context.runs = this;
    return returned;
  }

  /// Null: the executor drops what is pending.
  void fail(std::exception_ptr reason) noexcept override {
    const ref call = std::move(call_);
    if (reason == nullptr) {
      call->cancel();
    } else if (call->try_start()) {
      call->fail(std::move(reason));
    }
  }

 private:
  ~proxy_call() override = default;

  ref<state_base> call_;
};

}  // namespace

void submit_proxy(executor& where, state_base& call, const submit_options& options) noexcept {
  try {
    auto* proxy = new proxy_call{call};
    ref queued{proxy, ref<proxy_call>::adopt{}};
    executor_access::enqueue(where, *proxy, options);
    queued.detach();
  } catch (...) {
    if (call.try_start()) call.fail(std::current_exception());
  }
}

void submit_then(executor& where, state_base& call) noexcept {
  const ref handed{&call, ref<state_base>::adopt{}};  // the proxy has one of its own
  const handing_on scope{call};
  submit_proxy(where, call, {});
}

}  // namespace detail
}  // namespace cadre
