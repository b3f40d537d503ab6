// SPDX-License-Identifier: MIT
#include <cadre/detail/caught.hpp>
#include <cadre/errors.hpp>
#include <cadre/future.hpp>
#include <cadre/hooks.hpp>
#include <cadre/promise.hpp>

#include <string>

#include "base/error_of.hpp"

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

void throw_given_up(const state_base& state) {
  throw timeout_error{"with_timeout: " + quoted_call(state) +
                      " was not done in time; it was cancelled, or if it runs, asked to stop"};
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
  return error_of([] {
    return broken_promise{
        "future: its promise was destroyed before it was given a value or an exception"};
  });
}

std::exception_ptr no_inner_future(bool itself) noexcept {
  if (itself) {
    return error_of([] {
      return deadlock_error{
          "future: a function given to then() returned the very future that waits for its result; "
          "that would wait for itself for ever: return another one"};
    });
  }
  return error_of([] {
    return invalid_state_error{
        "future: a function given to then() returned an empty future, of which nothing can come; "
        "return the future of a call, or ready_future()"};
  });
}

void report_callback_exception(const state_base& state) noexcept {
  report_unhandled("done callback", state.name(), caught("done callback"));
}

}  // namespace cadre::detail
