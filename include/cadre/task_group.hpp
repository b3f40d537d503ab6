// SPDX-License-Identifier: MIT
// task_group: calls that end before their scope does, and fail together.
//
//     cadre::task_group group{pool};
//     auto a = group.spawn(&load, "a.csv");
//     auto b = group.spawn(&load, "b.csv");
//     group.wait();                              // throws exception_group if one failed
//     merge(a.get(), b.get());
//
// Failure    The first call that throws stops the group: what is pending is cancelled, what runs is
//            asked to stop through its std::stop_token (a process is killed after its grace period).
//            All that failed is in the exception_group. What the stop itself causes is no failure:
//            cancelled calls, and those that then end with cancelled_error, or killed.
// Scope      The destructor requests stop and blocks until all calls are done. Failures that no wait()
//            has thrown go to the unhandled hook. A destructor that would wait for ever (a call of the
//            group waits for the call that owns it), or has no memory to wait with, terminates the
//            program.
// Nesting    A group stops when the token given to the constructor does: that of the call it is made
//            in, or get_stop_token() of the outer group.
// Threads    Any thread may spawn, also the calls of the group; one at a time may wait.
// Waiting    On a worker, wait() runs pending calls of the group, if they are of its own pool.
// Errors     deadlock_error: a call waits for its own group; one that does so before its spawn() has
//            returned is not waited for. spawn: as submit(). After a stop, what is spawned is cancelled.
// Cost       A heap block per open call.
// Source     Python's asyncio.TaskGroup.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/task_scope.hpp>
#include <cadre/executor.hpp>
#include <cadre/future.hpp>

#include <chrono>
#include <concepts>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace cadre {

/// Of a thread_pool_executor it takes any callable, of an executor portable ones.
template <std::derived_from<executor> Executor>
class task_group {
 public:
  /// Calls run on `where` unless otherwise said; it must outlive the group.
  explicit task_group(Executor& where, std::stop_token parent = {})
      : where_{where}, scope_{std::move(parent)} {}

  /// As where.submit(...), within the group.
  template <typename Function, typename... Args>
    requires(!std::same_as<std::remove_cvref_t<Function>, submit_options>)
  auto spawn(Function&& function, Args&&... args) {
    return spawn_on(where_, submit_options{}, std::forward<Function>(function),
                    std::forward<Args>(args)...);
  }
  template <typename Function, typename... Args>
  auto spawn(submit_options options, Function&& function, Args&&... args) {
    return spawn_on(where_, std::move(options), std::forward<Function>(function),
                    std::forward<Args>(args)...);
  }

  /// As spawn(), without a future: wait() tells whether it failed.
  template <typename... Call>
  void post(Call&&... call) {
    static_cast<void>(spawn(std::forward<Call>(call)...));
  }

  /// As spawn(), on another executor.
  template <std::derived_from<executor> Other, typename Function, typename... Args>
    requires(!std::same_as<std::remove_cvref_t<Function>, submit_options>)
  auto spawn_on(Other& other, Function&& function, Args&&... args) {
    return spawn_on(other, submit_options{}, std::forward<Function>(function),
                    std::forward<Args>(args)...);
  }
  template <std::derived_from<executor> Other, typename Function, typename... Args>
  auto spawn_on(Other& other, submit_options options, Function&& function, Args&&... args) {
    auto place = scope_.reserve();
    if (stop_requested()) options.stop_token = get_stop_token();  // it is cancelled, and not queued
    auto call = other.submit(std::move(options), std::forward<Function>(function),
                             std::forward<Args>(args)...);
    scope_.adopt(std::move(place), call);
    return call;
  }

  /// Blocks until all calls of the group are done, those spawned meanwhile included. Throws
  /// exception_group if any has failed, now or before; deadlock_error.
  void wait() { scope_.wait_until(detail::never); }

  /// The same with a deadline, at which it requests stop; then it blocks until all have obeyed, and
  /// throws exception_group if any has failed, else timeout_error. A limit <= 0 stops at once.
  template <typename Rep, typename Period>
  void wait_for(std::chrono::duration<Rep, Period> limit) {
    scope_.wait_until(detail::deadline_after(limit));
  }
  template <typename Clock, typename Duration>
  void wait_until(std::chrono::time_point<Clock, Duration> limit) {
    scope_.wait_until(detail::deadline_at(limit));
  }

  /// Cancels what is pending, asks what runs to stop, and cancels all that is spawned from now on.
  /// Does not block. Stop callbacks and done callbacks run on this thread.
  void request_stop() noexcept { scope_.request_stop(); }
  bool stop_requested() const noexcept { return get_stop_token().stop_requested(); }
  std::stop_token get_stop_token() const noexcept { return scope_.get_token(); }

 private:
  Executor& where_;
  detail::task_scope scope_;
};

}  // namespace cadre
