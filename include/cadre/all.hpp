// SPDX-License-Identifier: MIT
// all: several tasks, awaited at once. Divide and conquer without futures.
//
//     cadre::task<long> fib(int n) {
//       if (n < 2) co_return n;
//       auto [a, b] = co_await cadre::all(fib(n - 1), fib(n - 2));
//       co_return a + b;
//     }
//
// Where      The tasks run where the one that awaits them does. The first begins at once, on its thread; when it
//            ends, the next one, and so on. On a thread pool idle workers take tasks meanwhile, the last one first.
//            On other executors the others are run by the same thread. If one is suspended, the others go on.
// End        co_await all() ends when all tasks have ended, whatever happens: so they may use what the
//            task that awaits them has. If some throw, the others go on, and then it throws the exception of the
//            first of these in the order of the arguments; nobody is told of the other exceptions. Their frames,
//            with their arguments and values, live until co_await all() is over.
// Stopping   All have the stop token of the task that awaits them: see coro.hpp. A task that has not begun
//            begins all the same, and finds the stop requested. One that fails does not stop the others.
// Shutdown   They are parts of the task that awaits them: shutdown() of a thread pool waits for them, and
//            cancels none. Elsewhere: as coro.hpp says of that task.
// Errors     invalid_state_error for an empty task. std::bad_alloc: nothing began. A task for whose own run
//            there is no memory, or which the executor will not run any more, fails with that.
// Statistics What another worker took counts as a call that was submitted; the others do not.
// Cost       Some 30 ns more than to await two tasks in turn, where nobody is idle; as a list, 65. 64 bytes for each task but
//            the first, in the frame of who awaits them; for a list, a block of that size, and one for the
//            values. Once for each spawned task, 256 bytes; else only what other workers take is allocated: 192
//            bytes each. No stack; but on an inline_executor some for each level at which tasks are suspended.
// Source     Python's asyncio.gather.
#pragma once

#include <cadre/coro.hpp>
#include <cadre/detail/fork_join.hpp>

#include <array>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace cadre {
namespace detail {

struct all_access {
  template <typename T>
  static task_promise<T>& promise_of(const task<T>& t) noexcept {
    return t.frame_.promise();
  }
};

template <typename T>
void refuse_empty(const task<T>& t) {
  if (!t.valid()) throw_empty_task("all");
}

template <typename T>
void set_entry(fork_entry& entry, const task<T>& of) {
  refuse_empty(of);
  entry.set(all_access::promise_of(of), [](chain_link& link, std::exception_ptr reason) noexcept {
    static_cast<task_promise<T>&>(link).set_error(std::move(reason));
  });
}

/// What stands for void in a tuple.
template <typename T>
using value_of_task = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <typename T>
value_of_task<T> take_value(const task<T>& of) {
  if constexpr (std::is_void_v<T>) {
    all_access::promise_of(of).take();
    return {};
  } else {
    return all_access::promise_of(of).take();
  }
}

template <typename... Ts>
class all_awaiter : fork_join {
 public:
  all_awaiter(chain_link& self, std::tuple<task<Ts>...> tasks)
      : fork_join{self}, tasks_{std::move(tasks)} {
    std::apply(
        [this](const auto& first, const auto&... others) {
          refuse_empty(first);
          [[maybe_unused]] fork_entry* next = entries_.data();
          (set_entry(*next++, others), ...);
        },
        tasks_);
  }

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<>) {
    begin(all_access::promise_of(std::get<0>(tasks_)), entries_);
  }
  std::tuple<value_of_task<Ts>...> await_resume() {
    return std::apply(
        [](const auto&... each) { return std::tuple<value_of_task<Ts>...>{take_value(each)...}; },
        tasks_);
  }

 private:
  std::tuple<task<Ts>...> tasks_;
  std::array<fork_entry, sizeof...(Ts) - 1> entries_;
};

template <typename... Ts>
struct all_request {
  std::tuple<task<Ts>...> tasks;

  all_awaiter<Ts...> await_in(chain_link& self) && { return {self, std::move(tasks)}; }
};

template <typename T>
class all_of_awaiter : fork_join {
 public:
  all_of_awaiter(chain_link& self, std::vector<task<T>> tasks)
      : fork_join{self}, tasks_{std::move(tasks)} {
    if (tasks_.empty()) return;
    refuse_empty(tasks_.front());
    if (tasks_.size() == 1) return;
    entries_ = std::make_unique<fork_entry[]>(tasks_.size() - 1);
    for (std::size_t i = 1; i != tasks_.size(); ++i) set_entry(entries_[i - 1], tasks_[i]);
  }

  bool await_ready() const noexcept { return tasks_.empty(); }
  void await_suspend(std::coroutine_handle<>) {
    begin(all_access::promise_of(tasks_.front()), {entries_.get(), tasks_.size() - 1});
  }
  auto await_resume() {
    if constexpr (std::is_void_v<T>) {
      for (const auto& each : tasks_) all_access::promise_of(each).take();
    } else {
      using value = std::conditional_t<std::is_reference_v<T>,
                                       std::reference_wrapper<std::remove_reference_t<T>>,
                                       std::remove_const_t<T>>;
      std::vector<value> values;
      values.reserve(tasks_.size());
      for (const auto& each : tasks_) values.push_back(all_access::promise_of(each).take());
      return values;
    }
  }

 private:
  std::vector<task<T>> tasks_;
  std::unique_ptr<fork_entry[]> entries_;
};

template <typename T>
struct all_of_request {
  std::vector<task<T>> tasks;
  bool used = false;

  all_of_awaiter<T> await_in(chain_link& self) && {
    if (std::exchange(used, true)) throw_empty_task("all");
    return {self, std::move(tasks)};
  }
};

}  // namespace detail

/// co_await all(a(), b(), ...): the values of all of them, in a std::tuple; std::monostate for void.
template <typename... Ts>
  requires(sizeof...(Ts) != 0)
[[nodiscard]] detail::all_request<Ts...> all(task<Ts>... tasks) {
  return {{std::move(tasks)...}};
}

/// co_await all(std::move(tasks)): a std::vector of the values, in the order of the tasks; of
/// std::reference_wrapper for references; nothing for void.
template <typename T>
  requires(!std::is_rvalue_reference_v<T>)
[[nodiscard]] detail::all_of_request<T> all(std::vector<task<T>>&& tasks) {
  return {std::move(tasks)};
}
template <typename T>
void all(const std::vector<task<T>>&) {
  static_assert(detail::never_true<T>,
                "cadre: all() uses the tasks up: co_await all(std::move(tasks))");
}

}  // namespace cadre
