// SPDX-License-Identifier: MIT
// async_generator<T>: a coroutine that gives many values, and may await between them.
//
//     cadre::async_generator<page> pages(std::vector<cadre::future<page>> loads) {
//       auto done = cadre::as_completed(std::move(loads));
//       while (auto f = co_await cadre::next_completed(done)) co_yield std::move(*f).get();
//     }
//     while (auto p = co_await all.next()) show(*p);
//
// Lazy       It runs only while a value is asked for, on the chain of the task that asks.
// Lifetime   Destroyed before its end, it is destroyed where it yielded.
// Threads, Stopping, Errors   as coro.hpp. An exception ends it: next() throws it once.
// Source     Python's asynchronous generators (PEP 525).
#pragma once

#include <cadre/config.hpp>
#include <cadre/coro.hpp>

#include <coroutine>
#include <exception>
#include <optional>
#include <utility>

namespace cadre {

template <typename T>
class async_generator;

namespace detail {

template <typename T>
struct generator_promise final : chain_promise {
  async_generator<T> get_return_object() noexcept;
  void unhandled_exception() noexcept { error = std::current_exception(); }
  void return_void() const noexcept {}

  leave_awaiter yield_value(T next) {
    value.emplace(std::move(next));
    return {};
  }

  std::optional<T> value;
  std::exception_ptr error;
};

template <typename T>
struct generator_next {
  frame<generator_promise<T>>& generator;

  struct awaiter {
    chain_link& self;
    frame<generator_promise<T>>& generator;

    bool await_ready() const noexcept { return generator.done(); }
    void await_suspend(std::coroutine_handle<>) { self.chain->call(generator.promise(), self); }
    std::optional<T> await_resume() {
      auto& promise = generator.promise();
      if (promise.error) std::rethrow_exception(std::exchange(promise.error, nullptr));
      return std::exchange(promise.value, std::nullopt);
    }
  };
  awaiter await_in(chain_link& self) const {
    if (!generator) throw_empty_task("next");
    return {self, generator};
  }
};

}  // namespace detail

template <typename T>
class [[nodiscard]] async_generator {
 public:
  using value_type = T;
  using promise_type = detail::generator_promise<T>;

  /// An empty generator.
  async_generator() noexcept = default;

  /// co_await g.next(): the next value; an empty optional after the last one. One task at a time.
  detail::generator_next<T> next() noexcept { return {frame_}; }

 private:
  friend promise_type;
  explicit async_generator(promise_type& promise) noexcept : frame_{promise} {}

  detail::frame<promise_type> frame_;
};

template <typename T>
async_generator<T> detail::generator_promise<T>::get_return_object() noexcept {
  return async_generator<T>{*this};
}

}  // namespace cadre
