// SPDX-License-Identifier: MIT
// promise<T>: the writer's half of a future, for authors of executors and bridges.
//
//     cadre::promise<int> promise;
//     cadre::future<int> answer = promise.get_future();
//     legacy_api_call([p = std::move(promise)](int n) mutable { p.set_value(n); });
//
//     return cached ? cadre::ready_future(*cached) : pool.submit(&load, key);
//
// States     As in future.hpp. set_running() makes the future running; without it, the first set_*
//            takes it from pending to finished, and until then the reader may cancel() it.
// Threads    One thread at a time; the future is free of that.
// Ordering   What was sequenced before set_* happens before the return of get().
// Errors     invalid_state_error when set twice, or set after the reader cancelled. Destroyed unset:
//            the future gets broken_promise.
// Source     Python's Future.set_running_or_notify_cancel, set_result and set_exception.
#pragma once

#include <cadre/config.hpp>
#include <cadre/future.hpp>

#include <exception>
#include <type_traits>
#include <utility>

namespace cadre {
namespace detail {

[[noreturn]] CADRE_API void throw_promise_set(const state_base* state);
CADRE_API std::exception_ptr make_broken_promise();

template <typename T>
class promise_state final : public state<T> {
 public:
  promise_state() : state<T>{1} {}
};

}  // namespace detail

template <typename T>
class promise {
 public:
  /// A promise with its pending future.
  promise()
      : state_{new detail::promise_state<T>, typename detail::ref<detail::state<T>>::adopt{}} {}

  promise(promise&&) noexcept = default;
  promise& operator=(promise&& other) noexcept {
    promise{std::move(other)}.swap(*this);
    return *this;
  }
  ~promise() {
    if (state_ && (claimed_ || state_->try_start())) state_->fail(detail::make_broken_promise());
  }

  /// A handle; may be called any number of times.
  future<T> get_future() const {
    if (!state_) detail::throw_promise_set(nullptr);
    return detail::access::make(state_);
  }

  /// Pending -> running, so that cancel() has no effect any more. False if the reader has cancelled
  /// it: then set nothing. Throws invalid_state_error if it is running or finished already.
  bool set_running() {
    if (!state_ || claimed_) detail::throw_promise_set(state_.get());
    claimed_ = state_->try_start();
    return claimed_;
  }

  /// Makes the value, and wakes whoever waits. Callbacks run on this thread. If making it throws,
  /// the future gets that exception instead.
  template <typename... Args>
    requires(std::is_void_v<T> ? sizeof...(Args) == 0
             : std::is_reference_v<T>
                 ? (sizeof...(Args) == 1 && (std::is_convertible_v<Args, T> && ...))
                 : std::is_constructible_v<detail::stored<T>, Args...>)
  void set_value(Args&&... args) {
    finish([&](detail::state<T>& s) {
      return s.fill([&]() -> T {
        if constexpr (std::is_reference_v<T>) {
          return (static_cast<T>(args), ...);
        } else if constexpr (!std::is_void_v<T>) {
          return T(std::forward<Args>(args)...);
        }
      });
    });
  }

  /// Sets `reason`, which must not be null, as what get() throws.
  void set_exception(std::exception_ptr reason) {
    if (reason == nullptr) detail::throw_promise_set(nullptr);
    finish([&](detail::state<T>& s) { return s.fill_error(std::move(reason)); });
  }

  void swap(promise& other) noexcept {
    std::swap(state_, other.state_);
    std::swap(claimed_, other.claimed_);
  }

 private:
  template <typename Fill>
  void finish(Fill fill) {
    if (!state_) detail::throw_promise_set(nullptr);
    detail::state<T>& state = *state_;
    if (claimed_) {  // else it is not written: its line may be the reader's
      claimed_ = false;
      const detail::ref<detail::state<T>> keep = state_;  // a callback may destroy the promise
      state.finish(fill(state));
      return;
    }
    state.prefetch();
    if (state.get_status() != detail::state_base::pending) detail::throw_promise_set(&state);
    const auto status = fill(state);
    if (state.settle(status)) return;
    state.unfill(status);
    detail::throw_promise_set(&state);
  }

  detail::ref<detail::state<T>> state_;
  bool claimed_ = false;  // set_running() succeeded, and nothing was set since
};

/// A future that has `value`.
template <typename T>
future<std::decay_t<T>> ready_future(T&& value) {
  promise<std::decay_t<T>> made;
  made.set_value(std::forward<T>(value));
  return made.get_future();
}
inline future<void> ready_future() {
  promise<void> made;
  made.set_value();
  return made.get_future();
}

/// A future<T> whose get() throws `reason`, which must not be null.
template <typename T>
future<T> failed_future(std::exception_ptr reason) {
  promise<T> made;
  made.set_exception(std::move(reason));
  return made.get_future();
}
template <typename T, typename E>
  requires(!std::is_convertible_v<E, std::exception_ptr>)
future<T> failed_future(E&& error) {
  return failed_future<T>(std::make_exception_ptr(std::forward<E>(error)));
}

}  // namespace cadre
