// SPDX-License-Identifier: MIT
#include <cadre/executor.hpp>
#include <cadre/local_executor.hpp>

#include <stdexcept>
#include <utility>

namespace cadre {

executor::~executor() = default;
local_executor::~local_executor() = default;

void executor::do_enqueue_all(detail::state_base*& first, std::size_t count) {
  for (; count > 0; --count) {
    detail::state_base* next = first->queue_next;
    do_enqueue(*first, {});
    first = next;
  }
}

void local_executor::resume(detail::state_base& rest, int priority) {
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

void call_chain::submit(executor& where) {
  if (first_ == nullptr) return;
  executor_access::enqueue_all(where, first_, count_);
  first_ = nullptr;
}

void refuse_limits(const char* who, const submit_options& options) {
  if (!options.timeout && options.retries == 0 && options.max_memory == 0) return;
  throw std::invalid_argument{std::string{who} +
                              ": timeout, retries and max_memory need worker processes, since "
                              "threads cannot be killed; the call was not accepted: submit it to a "
                              "process_pool_executor, or without them"};
}

void throw_empty_callable(const char* who) {
  throw std::invalid_argument{std::string{who} +
                              ": the callable is empty (a null pointer or an empty std::function); "
                              "nothing was submitted"};
}

void submit_then(executor& where, state_base& call) noexcept {
  // A call of its own starts the then-call, which the reader of its future may cancel meanwhile.
  const auto start = [then = ref{&call, ref<state_base>::adopt{}}] {
    run_context context;
    if (then->try_start()) then->run(context);
  };
  ref then{&call};
  try {
    auto* starter = new posted_call<decltype(start)>{start};
    ref queued{starter, ref<posted_call<decltype(start)>>::adopt{}};
    executor_access::enqueue(where, *starter);
    queued.detach();
  } catch (...) {
    if (then->try_start()) then->fail(std::current_exception());
  }
}

}  // namespace detail
}  // namespace cadre
