// SPDX-License-Identifier: MIT
// future<T>: one result that may not exist yet.
//
//     cadre::thread_pool_executor pool;
//     cadre::future<int> answer = pool.submit([](int n) { return n * 7; }, 6);
//     std::cout << answer.get();          // blocks until done; prints 42
//
// States     pending -> running -> finished     the call ran: it has a value or an exception
//            pending -> cancelled               cancel() came first: done at once
// Threads    Handles are copyable and share one state. Any thread may call any const member of any
//            handle at any time; assigning and destroying need the handle to oneself, as does
//            std::move(f).get() the value.
// Ordering   What was sequenced before the result was set happens before the return of get(),
//            wait(), exception(), and of done() when it is true.
// Waiting    On a worker, an untimed get() or wait() for a pending call of the same pool runs that
//            very call inline, never any other. A wait that can never end throws deadlock_error.
// Errors     Every member but valid() throws invalid_state_error on an empty future.
// Cost       One pointer; one heap block per call. get() of a finished future is one load; copying
//            is one atomic increment.
// Source     Python's concurrent.futures.Future.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/state.hpp>

#include <chrono>
#include <compare>
#include <concepts>
#include <exception>
#include <type_traits>
#include <utility>

namespace cadre {

class executor;

template <typename T>
class future;

namespace detail {

template <typename T>
inline constexpr bool is_future = false;
template <typename T>
inline constexpr bool is_future<future<T>> = true;

[[noreturn]] CADRE_API void throw_empty_future();
[[noreturn]] CADRE_API void throw_timeout(const state_base& state);
[[noreturn]] CADRE_API void throw_given_up(const state_base& state);
[[noreturn]] CADRE_API void throw_no_value(const state_base& state);

template <typename T, typename Function>
class callback;
template <typename T, typename Function>
struct then_traits;
template <typename E, typename T, typename Function>
struct error_handler;
template <typename T, typename Function>
struct last_step;

/// Adds a done callback that is a listener; runs it at once if the state is done.
CADRE_API void add_callback(state_base& state, listener& node) noexcept;

}  // namespace detail

template <typename T>
class [[nodiscard(
    "the call runs all the same, but nobody learns how it ends; use post() if nobody need "
    "know")]] future {
 public:
  using value_type = T;
  /// What get() of an lvalue returns: const T&, or T itself where it is a reference or void.
  using const_result = std::conditional_t<
      std::is_void_v<T> || std::is_reference_v<T>, T,
      std::add_lvalue_reference_t<std::add_const_t<std::conditional_t<std::is_void_v<T>, int, T>>>>;

  /// An empty future.
  future() noexcept = default;

  /// False for an empty future: default-constructed, moved from, or used up by an rvalue get().
  bool valid() const noexcept { return static_cast<bool>(state_); }

  /// Blocks until done, then returns the value, any number of times. Throws
  ///   what the call threw: the same exception object each time,
  ///   cancelled_error, deadlock_error,
  ///   invalid_state_error if another handle has moved the value out.
  const_result get() const& {
    check().wait_until(detail::never);
    return value();
  }

  /// As above, but moves the value out and leaves this handle empty. A later get() through another
  /// handle throws invalid_state_error.
  T get() && {
    check().wait_until(detail::never);
    return take_value();
  }

  /// As get() of an rvalue.
  T take() { return std::move(*this).get(); }

  /// As get(), but throws timeout_error if the future is not done in time; it stays as it is and
  /// can be asked again. A limit <= 0 only looks.
  template <typename Rep, typename Period>
  const_result get_for(std::chrono::duration<Rep, Period> limit) const& {
    return get_by(detail::deadline_after(limit));
  }
  template <typename Clock, typename Duration>
  const_result get_until(std::chrono::time_point<Clock, Duration> limit) const& {
    return get_by(detail::deadline_at(limit));
  }
  template <typename Rep, typename Period>
  T get_for(std::chrono::duration<Rep, Period> limit) && {
    if (!wait_for(limit)) detail::throw_timeout(*state_);
    return take_value();
  }
  template <typename Clock, typename Duration>
  T get_until(std::chrono::time_point<Clock, Duration> limit) && {
    if (!wait_until(limit)) detail::throw_timeout(*state_);
    return take_value();
  }

  /// Blocks until done. Throws deadlock_error.
  void wait() const { check().wait_until(detail::never); }

  /// Blocks until done or for `limit`; returns done(). A limit <= 0 only looks.
  template <typename Rep, typename Period>
  bool wait_for(std::chrono::duration<Rep, Period> limit) const {
    return check().wait_until(detail::deadline_after(limit));
  }
  template <typename Clock, typename Duration>
  bool wait_until(std::chrono::time_point<Clock, Duration> limit) const {
    return check().wait_until(detail::deadline_at(limit));
  }

  /// Blocks until done, then returns what the call threw; null if it has a value. Throws
  /// cancelled_error.
  std::exception_ptr exception() const {
    check().wait_until(detail::never);
    return stored_exception();
  }
  /// As exception(), but throws timeout_error if the future is not done in time.
  template <typename Rep, typename Period>
  std::exception_ptr exception_for(std::chrono::duration<Rep, Period> limit) const {
    if (!wait_for(limit)) detail::throw_timeout(*state_);
    return stored_exception();
  }

  /// True once there is a value, an exception or a cancellation. Never blocks.
  bool done() const { return check().done(); }
  /// True while a worker has the call. Never blocks.
  bool running() const { return check().is_running(); }
  /// True if cancel() came before the call began. Never blocks.
  bool cancelled() const { return check().get_status() == detail::state_base::cancelled; }

  /// Keeps a pending call from ever running. True if the future is cancelled; false, and no
  /// effect, if it is running or finished. Callbacks run on this thread. The callable is destroyed
  /// at once. If another thread is in cancel() at the same time, it may still be finishing it.
  bool cancel() const { return check().cancel_by_reader(); }

  /// Asks the running call to stop through its std::stop_token; cancels a pending one. False if it is
  /// done, or on a thread and takes no token. In a worker process, a call that does not return within its
  /// submit_options::grace is killed, whether it takes a token or not. Does not block.
  bool request_stop() const { return check().cancel_by_reader() || state_->request_stop(); }

  /// Calls `function(future<T>)` once when done: on the thread that finishes or cancels, or here
  /// and now if it is done already. Callbacks of one future run in the order they were added. What
  /// one throws goes to the unhandled hook. get() of another thread may return before they ran.
  template <std::invocable<future<T>> Function>
  void add_done_callback(Function&& function) const {
    detail::state_base& state = check();
    auto* node = new detail::callback<T, std::decay_t<Function>>{std::forward<Function>(function)};
    detail::add_callback(state, *node);
  }

  /// A future of what `function` returns: of `function(value)` after success only, an exception
  /// or a cancellation being passed on; or of `function(future<T>)` in every case, for a function
  /// that does not take the value. It runs like a done callback; with an executor, as a call there,
  /// which then must outlive this future. The executor is a local_executor: with another one, the new
  /// future fails with std::invalid_argument. If `function` returns a future<U>, so does then(): one that
  /// has what that future will have, copied, or moved out if it cannot be copied; cancel() and
  /// request_stop() then are for the step that has not run, or else for that future.
  template <typename Function>
  auto then(Function&& function) const {
    return detail::then_traits<T, std::decay_t<Function>>::make(nullptr, *this,
                                                                std::forward<Function>(function));
  }
  template <typename Function>
  auto then(executor& where, Function&& function) const {
    return detail::then_traits<T, std::decay_t<Function>>::make(&where, *this,
                                                                std::forward<Function>(function));
  }

  /// A future of the same value; or, if the call threw an E, of what `function(const E&)` returns or throws.
  /// What is no E passes, as an int does by default; so does a cancellation, unless E is cancelled_error.
  /// Values are copied, or moved out if they cannot be copied. The rest is as then().
  template <typename E = std::exception, typename Function>
  future then_error(Function&& function) const {
    return step<detail::error_handler<E, T, std::decay_t<Function>>>(
        nullptr, std::forward<Function>(function));
  }
  template <typename E = std::exception, typename Function>
  future then_error(executor& where, Function&& function) const {
    return step<detail::error_handler<E, T, std::decay_t<Function>>>(
        &where, std::forward<Function>(function));
  }

  /// A future of the same value, exception or cancellation, done when `function()` has run too, however the
  /// call ended. If that throws, the future has its exception. The rest is as then_error().
  template <typename Function>
  future finally(Function&& function) const {
    return step<detail::last_step<T, std::decay_t<Function>>>(nullptr,
                                                              std::forward<Function>(function));
  }
  template <typename Function>
  future finally(executor& where, Function&& function) const {
    return step<detail::last_step<T, std::decay_t<Function>>>(&where,
                                                              std::forward<Function>(function));
  }

  /// The same for all handles of one call, and another for each call of which there is a handle. Null if
  /// empty.
  const void* id() const noexcept { return state_.get(); }
  /// By id(): equal are handles of one call, and empty ones. With std::hash, futures are keys.
  friend bool operator==(const future& a, const future& b) noexcept { return a.id() == b.id(); }
  friend std::strong_ordering operator<=>(const future& a, const future& b) noexcept {
    return std::compare_three_way{}(a.id(), b.id());
  }

 private:
  friend struct detail::access;
  explicit future(detail::ref<detail::state<T>> state) noexcept : state_{std::move(state)} {}

  template <typename Step, typename Function>
  future step(executor* where, Function&& function) const {
    return detail::then_traits<T, Step>::make_unflattened(where, *this,
                                                          Step{std::forward<Function>(function)});
  }

  detail::state<T>& check() const {
    if (!state_) detail::throw_empty_future();
    return *state_;
  }

  const_result get_by(detail::time_point deadline) const {
    if (!check().wait_until(deadline)) detail::throw_timeout(*state_);
    return value();
  }

  const_result value() const {
    if (state_->get_status() != detail::state_base::value) throw_no_value(*state_);
    if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(*state_->stored_value());
    } else if constexpr (!std::is_void_v<T>) {
      return state_->stored_value();
    }
  }

  T take_value() {
    const detail::ref<detail::state<T>> state = std::move(state_);
    if constexpr (std::is_void_v<T> || std::is_reference_v<T>) {
      if (state->get_status() != detail::state_base::value) throw_no_value(*state);
      if constexpr (std::is_reference_v<T>) return static_cast<T>(*state->stored_value());
    } else {
      // A sole owner need not mark the value as taken: nobody is left to ask for it.
      if (state->sole_owner() ? state->get_status() != detail::state_base::value : !state->take()) {
        throw_no_value(*state);
      }
      return std::move(state->stored_value());
    }
  }

  [[noreturn]] static void throw_no_value(detail::state<T>& state) {
    if (state.get_status() != detail::state_base::error) detail::throw_no_value(state);
    state.mark_observed();
    std::rethrow_exception(state.stored_error());
  }

  std::exception_ptr stored_exception() const {
    const auto status = state_->get_status();
    if (status == detail::state_base::cancelled) detail::throw_no_value(*state_);
    if (status != detail::state_base::error) return nullptr;
    state_->mark_observed();
    return state_->stored_error();
  }

  detail::ref<detail::state<T>> state_;
};

namespace detail {

/// The door between futures and what makes them.
struct access {
  template <typename T>
  static future<T> make(ref<state<T>> state) noexcept {
    return future<T>{std::move(state)};
  }
  template <typename T>
  static state<T>& state_of(const future<T>& f) {
    return f.check();
  }
};

CADRE_API void report_callback_exception(const state_base& state) noexcept;

/// A done callback; destroys itself after it ran.
template <typename T, typename Function>
class callback final : public listener {
 public:
  template <typename F>
  explicit callback(F&& function) : listener{&run, true}, function_{std::forward<F>(function)} {}

 private:
  static void run(listener& self, state_base& done) noexcept {
    auto* node = static_cast<callback*>(&self);
    try {
      std::move(node->function_)(access::make(ref{static_cast<state<T>*>(&done)}));
    } catch (...) {
      report_callback_exception(done);
    }
    delete node;
  }

  [[no_unique_address]] Function function_;
};

}  // namespace detail
}  // namespace cadre

template <typename T>
struct std::hash<cadre::future<T>> {
  std::size_t operator()(const cadre::future<T>& f) const noexcept {
    return std::hash<const void*>{}(f.id());
  }
};

#include <cadre/detail/then.hpp>
