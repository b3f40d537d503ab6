// SPDX-License-Identifier: MIT
#include <cadre/errors.hpp>
#include <cadre/future.hpp>
#include <cadre/hooks.hpp>
#include <cadre/promise.hpp>

#include <string>

namespace cadre::detail {
namespace {

std::string quoted_call(const state_base& state) {
  return state.name().empty() ? "its call" : "its call \"" + std::string{state.name()} + '"';
}

}  // namespace

void throw_empty_future() {
  throw invalid_state_error{
      "future: it is empty (default-constructed, moved from, or used up by an rvalue get()); "
      "keep a copy if it is needed again"};
}

void throw_timeout(const state_base& state) {
  throw timeout_error{"future: " + quoted_call(state) +
                      " was not done in time; it goes on: ask again, or cancel it"};
}

void throw_no_value(const state_base& state) {
  if (state.get_status() == state_base::taken) {
    throw invalid_state_error{"future: the value of " + quoted_call(state) +
                              " was moved out by an rvalue get() of another handle; use get() of "
                              "lvalues where several handles read it"};
  }
  throw cancelled_error{"future: " + quoted_call(state) +
                        " was cancelled before it began; there is no result"};
}

void throw_promise_set(const state_base* state) {
  if (state == nullptr) {
    throw invalid_state_error{
        "promise: it is moved from, or the exception to set is null; nothing was set"};
  }
  switch (state->get_status()) {
    case state_base::cancelling:
    case state_base::cancelled:
      throw invalid_state_error{
          "promise: its future was cancelled; call set_running() first, and set nothing if that "
          "returns false"};
    case state_base::pending:
    case state_base::running:
      throw invalid_state_error{"promise: it is running already; set_running() may be called once"};
    default:
      throw invalid_state_error{"promise: it is set already; a promise can be set once"};
  }
}

std::exception_ptr make_broken_promise() {
  return std::make_exception_ptr(broken_promise{
      "future: its promise was destroyed before it was given a value or an exception"});
}

void add_callback(state_base& state, listener& node) noexcept {
  if (state.add_listener(node)) return;
  const token_scope no_token{nullptr};  // as if it ran where the future becomes done
  node.notify(node, state);
}

void report_callback_exception(const state_base& state) noexcept {
  report_unhandled("done callback", state.name(), std::current_exception());
}

}  // namespace cadre::detail
