// SPDX-License-Identifier: MIT
// Coroutines over futures: task<T>, spawn, sync_wait.
//
//     cadre::task<int> total(cadre::thread_pool_executor& pool) {
//       auto a = pool.submit(count, "a.txt");       // two statements: g++ 12, see the guide
//       auto b = pool.submit(count, "b.txt");
//       co_return co_await a + co_await b;          // no worker waits meanwhile
//     }
//     int n = cadre::spawn(pool, total(pool)).get();
//
// Lazy       A task does nothing until it is awaited or spawned, and can be so once. Dropped before,
//            it never runs, and its arguments are destroyed.
// Where      A task runs on the executor that it was spawned on, and goes on there after each
//            co_await: at once if there is nothing to wait for, else as a call at the end of the
//            queue. A call of its own executor that has not begun, it begins then and there, as
//            get() does. schedule() moves it. A task that another one awaits runs where that one runs.
// Stopping   A task has a stop_token, and the tasks that it awaits have the same one: see
//            this_task::stop_token(). It is stopped by request_stop() of the spawned future, by the
//            token given to spawn, and by shutdown({.deadline}). If the task is waiting, or comes to
//            wait, what it awaits is asked to stop too, and co_await throws cancelled_error at once.
// Shutdown   A suspended task is a call that runs: shutdown() of a thread pool waits for it. Other
//            executors must outlive their tasks; what they refuse to run fails with what they throw,
//            and its frames are destroyed where they are suspended.
// Threads    A task and its frames belong to one thread at a time. Holding a lock or a pointer to a
//            thread_local across a co_await is a bug.
// Ordering   What happened before a co_await happens before what follows it, and so for what
//            happened before the awaited future was done.
// Errors     invalid_state_error for an empty task or future. What an awaited one threw.
// Cost       A frame, and for spawn 128 bytes with a result of up to 8; the first time that it is
//            suspended, 192 more. A million awaits in a row, or one inside the other, take no stack;
//            only frames that are destroyed where they are suspended take some for each level.
// Source     Python's asyncio: coroutines, create_task, run, wrap_future.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/task_promise.hpp>
#include <cadre/executor.hpp>
#include <cadre/future.hpp>
#include <cadre/local_executor.hpp>
#include <cadre/wait.hpp>

#include <chrono>
#include <concepts>
#include <coroutine>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace cadre {

/// A coroutine that gives a T, not begun.
template <typename T = void>
class [[nodiscard]] task {
 public:
  using value_type = T;
  using promise_type = detail::task_promise<T>;

  /// An empty task.
  task() noexcept = default;

  /// False if it is default-constructed, moved from, awaited or spawned.
  bool valid() const noexcept { return static_cast<bool>(frame_); }

  /// For co_await.
  detail::task_awaiter<T> await_in(detail::chain_link& self) && {
    return {self, std::move(*this).release("co_await")};
  }

  /// For spawn and its like: leaves the task empty.
  detail::frame<promise_type> release(const char* who) && {
    if (!frame_) detail::throw_empty_task(who);
    return std::move(frame_);
  }

 private:
  friend promise_type;
  friend detail::all_access;
  explicit task(promise_type& promise) noexcept : frame_{promise} {}

  detail::frame<promise_type> frame_;
};

namespace detail {

template <typename T>
task<T> task_promise<T>::get_return_object() noexcept {
  return task<T>{*this};
}
inline task<void> task_promise<void>::get_return_object() noexcept { return task<void>{*this}; }

/// A callable that makes a task.
template <typename Function, typename... Args>
concept makes_task = std::invocable<std::decay_t<Function>&, std::decay_t<Args>...> &&
                     is_task<std::invoke_result_t<std::decay_t<Function>&, std::decay_t<Args>...>>;

template <typename T, typename Function, typename... Args>
task<T> run_task(Function function, Args... args) {
  co_return co_await std::invoke(function, std::move(args)...);
}

}  // namespace detail

/// A task that runs the one which `function(args...)` returns, and keeps `function` until its end.
/// A lambda with captures needs that: its coroutine does not keep them.
template <typename Function, typename... Args>
  requires detail::makes_task<Function, Args...>
auto make_task(Function&& function, Args&&... args) {
  using made = std::invoke_result_t<std::decay_t<Function>&, std::decay_t<Args>...>;
  return detail::run_task<typename made::value_type, std::decay_t<Function>, std::decay_t<Args>...>(
      std::forward<Function>(function), std::forward<Args>(args)...);
}

/// Begins `work` on a worker of `where`; the future is done when it is at its end. Does not block,
/// unless submit() would. Until it begins, cancel() keeps it from that. If `where` refuses it, as
/// after shutdown(), the future fails with what submit() would throw. Throws invalid_state_error for
/// an empty task.
template <typename T>
future<T> spawn(local_executor& where, submit_options options, task<T> work) {
  using ref = detail::ref<detail::state<T>>;
  auto* call = new detail::spawned<T>{std::move(work).release("spawn")};
  auto result = detail::access::make(ref{call, typename ref::adopt{}});
  ref queued{call, typename ref::adopt{}};
  if (call->start(where, options)) queued.detach();
  return result;
}
template <typename T>
future<T> spawn(local_executor& where, task<T> work) {
  return spawn(where, submit_options{}, std::move(work));
}
/// spawn() of make_task(function, args...).
template <typename Function, typename... Args>
  requires detail::makes_task<Function, Args...>
auto spawn(local_executor& where, Function&& function, Args&&... args) {
  return spawn(where, make_task(std::forward<Function>(function), std::forward<Args>(args)...));
}
template <typename Executor, typename... Args>
  requires(std::derived_from<Executor, executor> && !std::derived_from<Executor, local_executor>)
void spawn(Executor&, Args&&...) {
  static_assert(
      detail::never_true<Executor>,
      "cadre: a coroutine cannot cross to another process: spawn it on a thread pool, and "
      "let it await calls of this executor");
}

namespace detail {

/// An executor whose only worker is the thread that calls run().
class CADRE_API this_thread_executor final : public local_executor {
 public:
  this_thread_executor();
  ~this_thread_executor() override;

  /// Runs what is queued, until no task is left.
  void run();

 private:
  class impl;

  void do_enqueue(state_base& call, const submit_options& options) override;
  shutdown_report do_shutdown(const shutdown_options&) override { return {}; }
  executor_stats do_stats() const override { return {}; }
  unsigned do_max_workers() const noexcept override { return 1; }
  task_host& do_task_host() noexcept override;

  std::shared_ptr<impl> impl_;
};

}  // namespace detail

/// Runs `work` on this thread, which sleeps while the task is suspended, and returns what it
/// returns, or throws what it throws. `stop` stops it. On a worker of a pool, it blocks that. Within a
/// call it is part of that: the call's token is the task's this_worker::stop_token(), and stops the
/// task if it is given as `stop`: sync_wait(work, this_worker::stop_token()).
template <typename T>
T sync_wait(task<T> work, const std::stop_token& stop = {}) {
  detail::this_thread_executor here;
  future<T> result = spawn(here, {.stop_token = stop}, std::move(work));
  here.run();
  return std::move(result).get();
}

// --- what a task can await, beside futures and tasks ---

namespace detail {

struct schedule_request {
  local_executor& where;

  struct awaiter {
    chain_link& self;
    task_host& target;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<>) { self.chain->move_to(self, target); }
    void await_resume() const noexcept {}
  };
  awaiter await_in(chain_link& self) const { return {self, task_host_access::host_of(where)}; }
};

struct stop_token_request {
  struct awaiter {
    std::stop_token token;
    bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    std::stop_token await_resume() noexcept { return std::move(token); }
  };
  awaiter await_in(chain_link& self) const { return {self.chain->get_stop_token()}; }
};

struct next_access {
  template <typename T>
  static completion_set& set_of(as_completed_range<T>& range) {
    return range.set_;
  }
  template <typename T>
  static time_point deadline_of(const as_completed_range<T>& range) {
    return range.deadline_;
  }
};

template <typename T>
struct next_request {
  completion_set& set;
  time_point deadline;

  struct awaiter {
    chain_link& self;
    completion_set& set;
    time_point deadline;
    bool waited = false;
    state_base* next = nullptr;

    bool await_ready() {
      next = set.try_next();
      if (next != nullptr || set.remaining() == 0) return true;
      if (deadline == never || deadline > std::chrono::steady_clock::now()) return false;
      if (!set.notification_is_coming()) set.throw_timeout();
      deadline = never;
      return false;
    }
    void await_suspend(std::coroutine_handle<>) {
      self.chain->wait_for(self, set, deadline);
      waited = true;
    }
    std::optional<future<T>> await_resume() {
      if (waited) {
        self.chain->end_wait();
        next = set.try_next();
        if (next == nullptr) set.throw_timeout();
      }
      if (next == nullptr) return std::nullopt;
      using ref = detail::ref<state<T>>;
      return access::make(ref{static_cast<state<T>*>(next), typename ref::adopt{}});
    }
  };
  awaiter await_in(chain_link& self) const { return {self, set, deadline}; }
};

/// For coroutines of other libraries.
template <typename Future>
class inline_awaiter : listener {
 public:
  explicit inline_awaiter(Future f) noexcept
      : listener{[](listener& self, state_base&) noexcept {
                   static_cast<inline_awaiter&>(self).handle_.resume();
                 },
                 true},
        future_{f} {}

  bool await_ready() const { return access::state_of(future_).done(); }
  // noinline: this frees the coroutine to go on, on another thread, and touches nothing after.
  // Inlined into it by clang, it might.
  [[gnu::noinline]] bool await_suspend(std::coroutine_handle<> self) {
    handle_ = self;
    return access::state_of(future_).add_listener(*this);
  }
  decltype(auto) await_resume() { return static_cast<Future>(future_).get(); }

 private:
  std::remove_reference_t<Future>& future_;
  std::coroutine_handle<> handle_;
};

}  // namespace detail

/// co_await schedule(where): from here on the task runs there, until its end or the next schedule();
/// who awaits the task goes on where he was. If it is there already: after what is queued there now.
/// Throws what submit() to a thread pool there would; other executors refuse the task as a whole.
inline detail::schedule_request schedule(local_executor& where) noexcept { return {where}; }

/// co_await next_completed(range): as range.next() of as_completed(), without blocking. With a timeout,
/// which began when the range was made, it throws timeout_error once that is over, and what a timer
/// throws that cannot be set; each wait that suspends then costs a timer.
template <typename T>
detail::next_request<T> next_completed(as_completed_range<T>& range) {
  return {detail::next_access::set_of(range), detail::next_access::deadline_of(range)};
}

/// co_await future, in a coroutine of another library: it goes on at once, on the thread that
/// finishes or cancels the future.
template <typename T>
auto operator co_await(const future<T>& f) noexcept {
  return detail::inline_awaiter<const future<T>&>{f};
}
template <typename T>
auto operator co_await(future<T>&& f) noexcept {
  return detail::inline_awaiter<future<T>&&>{f};
}

namespace this_task {

/// co_await this_task::stop_token(): the token of the task and of those that it awaits.
inline detail::stop_token_request stop_token() noexcept { return {}; }

}  // namespace this_task
}  // namespace cadre
