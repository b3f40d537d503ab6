// SPDX-License-Identifier: MIT
// What the promises of all cadre's coroutines have: their memory, and what they can await.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/block.hpp>
#include <cadre/detail/caught.hpp>
#include <cadre/detail/task_chain.hpp>
#include <cadre/executor.hpp>
#include <cadre/future.hpp>

#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>

namespace cadre {

template <typename T>
class task;

namespace detail {

struct all_access;

template <typename T>
inline constexpr bool is_task = false;
template <typename T>
inline constexpr bool is_task<task<T>> = true;

/// Suspends for good, or until the next value is asked for: the parent goes on.
struct leave_awaiter {
  bool await_ready() const noexcept { return false; }
  template <typename Promise>
  void await_suspend(std::coroutine_handle<Promise> self) const noexcept {
    chain_link& link = self.promise();
    link.chain->leave(link);
  }
  void await_resume() const noexcept {}
};

/// `Future` is `const future<T>&` or `future<T>&&`: as get() of that.
template <typename Future>
class future_awaiter {
 public:
  future_awaiter(chain_link& self, Future f) noexcept : self_{self}, future_{f} {}

  bool await_ready() {
    state_base& awaited = access::state_of(future_);
    return awaited.done() || self_.chain->run_here(awaited);
  }
  void await_suspend(std::coroutine_handle<>) {
    self_.chain->wait_for(self_, access::state_of(future_));
    waited_ = true;
  }
  decltype(auto) await_resume() {
    if (waited_) self_.chain->end_wait();
    return static_cast<Future>(future_).get();
  }

 private:
  chain_link& self_;
  std::remove_reference_t<Future>& future_;
  bool waited_ = false;
};

template <typename>
inline constexpr bool never_true = false;

/// The base of promises. What is awaited has await_in(chain_link&), which gives the awaiter.
struct chain_promise : chain_link {
  static void* operator new(std::size_t size) { return allocate_block(size); }
  static void operator delete(void* frame, std::size_t size) noexcept { free_block(frame, size); }

  std::suspend_always initial_suspend() const noexcept { return {}; }
  leave_awaiter final_suspend() const noexcept { return {}; }

  template <typename Awaited>
  decltype(auto) await_transform(Awaited&& awaited) {
    using plain = std::remove_cvref_t<Awaited>;
    if constexpr (is_future<plain>) {
      if constexpr (std::is_same_v<Awaited, plain>) {
        return future_awaiter<plain&&>{*this, std::forward<Awaited>(awaited)};
      } else {
        return future_awaiter<const plain&>{*this, awaited};
      }
    } else if constexpr (is_task<plain> && !std::is_same_v<Awaited, plain>) {
      static_assert(never_true<Awaited>,
                    "cadre: a task can be awaited once, which uses it up: co_await std::move(t)");
    } else if constexpr (requires { std::forward<Awaited>(awaited).await_in(*this); }) {
      return std::forward<Awaited>(awaited).await_in(*this);
    } else {
      static_assert(never_true<Awaited>,
                    "cadre: a task can await a future, a task, schedule(), next_completed(), "
                    "next() of an async_generator and this_task::stop_token(); what else there "
                    "is would resume it on a thread that is none of its executor's: give that a "
                    "promise, and await its future");
    }
  }
};

/// What a coroutine returned or threw.
template <typename T>
class task_result {
 public:
  void set_error() noexcept { set_error(caught("task")); }
  void set_error(std::exception_ptr reason) noexcept {
    result_.template emplace<2>(std::move(reason));
  }

  T take() {
    if (auto* error = std::get_if<2>(&result_)) std::rethrow_exception(std::move(*error));
    if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(**std::get_if<1>(&result_));
    } else if constexpr (!std::is_void_v<T>) {
      return std::move(*std::get_if<1>(&result_));
    }
  }

 protected:
  std::variant<std::monostate, stored<T>, std::exception_ptr> result_;
};

template <typename T>
class task_promise final : public chain_promise, public task_result<T> {
 public:
  task<T> get_return_object() noexcept;
  void unhandled_exception() noexcept { this->set_error(); }

  template <typename U = T>
    requires(std::is_reference_v<T> ? std::is_convertible_v<U &&, T>
                                    : std::is_constructible_v<stored<T>, U &&>)
  void return_value(U&& value) {
    if constexpr (std::is_reference_v<T>) {
      this->result_.template emplace<1>(std::addressof(static_cast<T>(value)));
    } else {
      this->result_.template emplace<1>(std::forward<U>(value));
    }
  }
};

template <>
class task_promise<void> final : public chain_promise, public task_result<void> {
 public:
  task<void> get_return_object() noexcept;
  void unhandled_exception() noexcept { set_error(); }
  void return_void() const noexcept {}
};

/// Owns a coroutine's frame, which is suspended.
template <typename Promise>
class frame {
 public:
  using handle = std::coroutine_handle<Promise>;

  frame() noexcept = default;
  explicit frame(Promise& promise) noexcept : handle_{handle::from_promise(promise)} {
    promise.handle = handle_;
  }
  frame(frame&& other) noexcept : handle_{std::exchange(other.handle_, nullptr)} {}
  frame& operator=(frame&& other) noexcept {
    frame{std::move(other)}.swap(*this);
    return *this;
  }
  ~frame() {
    if (handle_) handle_.destroy();
  }

  void swap(frame& other) noexcept { std::swap(handle_, other.handle_); }
  explicit operator bool() const noexcept { return static_cast<bool>(handle_); }
  bool done() const noexcept { return handle_.done(); }
  Promise& promise() const noexcept { return handle_.promise(); }

 private:
  handle handle_;
};

[[noreturn]] CADRE_API void throw_empty_task(const char* who);

/// Runs a task and has its result; the task's frame is the awaiter's.
template <typename T>
class task_awaiter {
 public:
  task_awaiter(chain_link& self, frame<task_promise<T>> child) noexcept
      : self_{self}, child_{std::move(child)} {}

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<>) { self_.chain->call(child_.promise(), self_); }
  T await_resume() { return child_.promise().take(); }

 private:
  chain_link& self_;
  frame<task_promise<T>> child_;
};

/// The state of a spawned task's future, and the chain that begins with it.
template <typename T>
class spawned final : public state<T>, private task_chain {
 public:
  explicit spawned(frame<task_promise<T>> first) noexcept
      : state<T>{2},  // one reference for the future, one for the queue
        task_chain{static_cast<state_base&>(*this)},
        first_{std::move(first)} {}

  bool start(local_executor& where, submit_options& options) {
    return task_chain::start(where, options, first_.promise());
  }

  bool run(run_context& context) noexcept override { return this->drive(context); }
  bool request_stop() noexcept override {
    if (this->get_status() != state_base::running) return state_base::request_stop();
    return this->request_chain_stop();
  }
  std::string_view name() const noexcept override { return this->chain_name(); }

 private:
  ~spawned() override {
    this->report_if_unobserved(this->chain_name());
    this->reset_extras();
  }

  void discard() noexcept override {
    first_ = {};
    const ref<state_base> keep = this->retire();
  }

  bool complete(run_context& context) noexcept override {
    const auto final = this->fill([this]() -> T { return first_.promise().take(); });
    first_ = {};
    const ref<state_base> keep = this->retire();
    const bool good = final == state_base::value;
    context.trivial_value = good && std::is_trivially_destructible_v<stored<T>>;
    // Idle is not to be announced if the state may be destroyed here, with a value that takes time.
    if (keep && !context.trivial_value) context.census = nullptr;
    context.about_to_publish(good);
    this->finish(final);
    return good;
  }

  frame<task_promise<T>> first_;
};

}  // namespace detail
}  // namespace cadre
