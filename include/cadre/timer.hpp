// SPDX-License-Identifier: MIT
// submit_after, submit_at, submit_every: calls that are submitted when their time has come.
//
//     auto reminder = cadre::submit_after(pool, 5s, &remind, user);
//     auto beat = cadre::submit_every(pool, 100ms, [&] { send_heartbeat(); });
//     beat.cancel();                       // no further run
//     cadre::cancel_and_wait(beat);        // and none that still runs
//
// States     pending until a worker has the call, as always: cancel() keeps it from ever running.
//            The future of submit_every is pending until the series ends: it is cancelled, or fails
//            with what a run threw, or with shutdown_error, or is finished after so many `runs`, or
//            after one that returned series::ends.
// Threads    Any thread may set and cancel timers. One thread waits for all of them; it exists while
//            there are timers and gives each call to its executor when its time has come. What an
//            executor does in submit() it does there: an inline_executor runs the call, and holds up
//            all other timers. A bounded pool that is full takes the call all the same. The thread
//            takes no signals.
// Ordering   As submit(). Timers of the same time fire in the order in which they were set.
// Lifetime   A timer does not keep its executor. shutdown(), and so the destructor, fails those that
//            have not come with shutdown_error, at once. In a child of fork() they are the parent's.
// Elsewhere  With an executor whose calls run in other processes, a timer's call is running from its
//            time on: cancel() comes too late then, request_stop() still cancels or stops it.
// Errors     A time that is past is now: submit() is called here, and what it would throw is in the
//            future. As for other times: shutdown_error, broken_executor, queue_full.
//            std::system_error if the thread cannot be started; std::invalid_argument for a period
//            that is not greater than 0, and an empty callable.
// Cost       Two heap blocks to set a timer, one more to fire it; O(log n) for either. A cancelled one
//            is swept out when half of all are cancelled.
#pragma once

#include <cadre/bind.hpp>
#include <cadre/config.hpp>
#include <cadre/detail/timed_call.hpp>
#include <cadre/executor.hpp>
#include <cadre/future.hpp>
#include <cadre/local_executor.hpp>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <tuple>
#include <type_traits>
#include <utility>

namespace cadre {

/// What the period of submit_every is measured between.
enum class repeat {
  /// Begins: runs are due at first + n * period. One that is due while the one before has not ended
  /// is left out; runs never overlap, and do not pile up.
  fixed_rate,
  /// The end of a run and the next begin.
  fixed_delay,
};

struct repeat_options {
  std::chrono::nanoseconds period{};  ///< > 0
  cadre::repeat repeat = cadre::repeat::fixed_rate;
  std::optional<std::chrono::nanoseconds> first_after = {};  ///< the first run; none: a period
  std::optional<std::uint64_t> runs = {};                    ///< > 0; none: without an end
  submit_options each = {};                                  ///< for each run
};

namespace detail {

template <typename Executor>
inline constexpr bool takes_any_callable = std::derived_from<Executor, local_executor>;

template <typename Executor, typename Function, typename... Args>
auto submit_timed(Executor& where, time_point due, submit_options& options, Function&& function,
                  Args&&... args) {
  executor& base = where;
  const auto enqueue = [&](state_base& call, const submit_options& o) {
    start_at(base, due, call, o, false);
  };
  // It is counted from the time on; of a call that is submitted elsewhere, by that executor.
  const bool relays = !takes_any_callable<Executor> && executor_access::runs_elsewhere(base);
  if (options.expires_in && !relays) *options.expires_in = left_after(due, *options.expires_in);
  if constexpr (takes_any_callable<Executor>) {
    return submit_by<false>(enqueue, false, options, std::forward<Function>(function),
                            std::forward<Args>(args)...);
  } else {
    check_portable<Function, Args...>();
    check_callable<Function, Args...>("submit_after", function);
    if (!relays) {
      return submit_by<true>(enqueue, false, options, std::forward<Function>(function),
                             std::forward<Args>(args)...);
    }
    using result = call_result<Function, Args...>;
    std::stop_token stop = options.stop_token;
    auto submit = [&base, options = std::move(options),
                   function = std::decay_t<Function>(std::forward<Function>(function)),
                   ... args = std::decay_t<Args>(std::forward<Args>(args))]() mutable {
      return base.submit(std::move(options), std::move(function), std::move(args)...);
    };
    auto* call = new relayed_call<result, decltype(submit)>{std::move(submit), std::move(stop)};
    call->follow_token();  // before it can come true: it may be stopped already
    return launch<result>(
        call, {}, [&](state_base& c, const submit_options& o) { start_at(base, due, c, o, true); });
  }
}

/// Runs the one function each time.
template <typename Executor, typename Function, typename... Args>
class repeated_here final
    : public repeated_work,
      public std::enable_shared_from_this<repeated_here<Executor, Function, Args...>> {
 public:
  template <typename... Parts>
  repeated_here(Executor& where, submit_options each, Parts&&... parts)
      : where_{where}, each_{std::move(each)}, work_{std::forward<Parts>(parts)...} {}

  void submit_run(repeated_call& of) override {
    auto self = this->shared_from_this();
    if constexpr (std::is_invocable_v<Function&, std::stop_token, Args&...>) {
      track_run(of, where_.submit(each_, [self](std::stop_token stop) {
        return self->run(std::move(stop));
      }));
    } else {
      track_run(of, where_.submit(each_, [self] { return self->run(); }));
    }
  }

 private:
  template <typename... Stop>
  auto run(Stop... stop) {
    using result = std::invoke_result_t<Function&, Stop..., Args&...>;
    using kept = std::conditional_t<std::is_same_v<result, series>, series, void>;
    return std::apply(
        [&](auto& f, auto&... a) { return static_cast<kept>(std::invoke(f, stop..., a...)); },
        work_);
  }

  Executor& where_;
  const submit_options each_;
  std::tuple<Function, Args...> work_;
};

/// Submits copies of a portable call.
template <typename Function, typename... Args>
class repeated_copies final : public repeated_work {
 public:
  template <typename... Parts>
  repeated_copies(executor& where, submit_options each, Parts&&... parts)
      : where_{where}, each_{std::move(each)}, work_{std::forward<Parts>(parts)...} {}

  void submit_run(repeated_call& of) override {
    track_run(of, std::apply([&](auto&... parts) { return where_.submit(each_, parts...); },
                             std::as_const(work_)));
  }

 private:
  executor& where_;
  const submit_options each_;
  const std::tuple<Function, Args...> work_;
};

}  // namespace detail

/// Submits the call after `delay`, and returns its future now. The rest is as executor::submit(): any
/// callable for a local_executor, a portable call for others. Blocks only if the delay is <= 0 and
/// submit() would.
template <std::derived_from<executor> Executor, typename Rep, typename Period, typename Function,
          typename... Args>
  requires(!std::same_as<std::remove_cvref_t<Function>, submit_options>)
auto submit_after(Executor& where, std::chrono::duration<Rep, Period> delay, Function&& function,
                  Args&&... args) {
  submit_options options;
  return detail::submit_timed(where, detail::deadline_after(delay), options,
                              std::forward<Function>(function),
                              static_cast<detail::crossing<Args>&&>(args)...);
}
template <std::derived_from<executor> Executor, typename Rep, typename Period, typename Function,
          typename... Args>
auto submit_after(Executor& where, std::chrono::duration<Rep, Period> delay, submit_options options,
                  Function&& function, Args&&... args) {
  return detail::submit_timed(where, detail::deadline_after(delay), options,
                              std::forward<Function>(function),
                              static_cast<detail::crossing<Args>&&>(args)...);
}

/// As submit_after(), at a time of any clock. How far away that is, is measured now: a clock that is
/// set meanwhile does not move the timer.
template <std::derived_from<executor> Executor, typename Clock, typename Duration,
          typename Function, typename... Args>
  requires(!std::same_as<std::remove_cvref_t<Function>, submit_options>)
auto submit_at(Executor& where, std::chrono::time_point<Clock, Duration> time, Function&& function,
               Args&&... args) {
  submit_options options;
  return detail::submit_timed(where, detail::deadline_at(time), options,
                              std::forward<Function>(function),
                              static_cast<detail::crossing<Args>&&>(args)...);
}
template <std::derived_from<executor> Executor, typename Clock, typename Duration,
          typename Function, typename... Args>
auto submit_at(Executor& where, std::chrono::time_point<Clock, Duration> time,
               submit_options options, Function&& function, Args&&... args) {
  return detail::submit_timed(where, detail::deadline_at(time), options,
                              std::forward<Function>(function),
                              static_cast<detail::crossing<Args>&&>(args)...);
}

/// Runs `function(args...)` again and again; what it returns is dropped, unless it is a cadre::series. A
/// local_executor calls the one function object each time; others get copies. The future ends the
/// series: cancel() keeps further runs from beginning, cancels a pending one, and asks a running one to
/// stop, without waiting for it; cancel_and_wait() waits.
template <std::derived_from<executor> Executor, typename Function, typename... Args>
[[nodiscard]] future<void> submit_every(Executor& where, repeat_options options,
                                        Function&& function, Args&&... args) {
  if (detail::is_empty_callable(function)) detail::throw_empty_callable("submit_every");
  std::shared_ptr<detail::repeated_work> work;
  if constexpr (detail::takes_any_callable<Executor>) {
    work = std::make_shared<detail::repeated_here<Executor, std::decay_t<Function>,
                                                  std::decay_t<detail::crossing<Args>>...>>(
        where, std::move(options.each), std::forward<Function>(function),
        static_cast<detail::crossing<Args>&&>(args)...);
  } else {
    detail::check_portable<Function, detail::crossing<Args>...>();
    work = std::make_shared<
        detail::repeated_copies<std::decay_t<Function>, std::decay_t<detail::crossing<Args>>...>>(
        where, std::move(options.each), std::forward<Function>(function),
        static_cast<detail::crossing<Args>&&>(args)...);
  }
  auto* call = new detail::repeated_call{
      where,
      {options.period, options.repeat == repeat::fixed_delay, options.runs},
      std::move(work)};
  using ref = detail::ref<detail::state<void>>;
  auto f = detail::access::make(ref{call, typename ref::adopt{}});
  call->start(detail::deadline_after(options.first_after.value_or(options.period)));
  return f;
}
template <std::derived_from<executor> Executor, typename Rep, typename Period, typename Function,
          typename... Args>
[[nodiscard]] future<void> submit_every(Executor& where, std::chrono::duration<Rep, Period> period,
                                        Function&& function, Args&&... args) {
  return submit_every(where, repeat_options{.period = detail::whole_nanoseconds(period)},
                      std::forward<Function>(function),
                      static_cast<detail::crossing<Args>&&>(args)...);
}

/// Cancels a series of submit_every(), or the call of any future: keeps what has not begun from running,
/// asks what runs to stop, and blocks until it has ended. Then nothing uses what the function or its
/// arguments refer to any more. Throws deadlock_error if a run waits for itself. A run of an
/// inline_executor is not asked.
CADRE_API void cancel_and_wait(const future<void>& call);
template <typename T>
void cancel_and_wait(const future<T>& call) {
  call.request_stop();
  call.wait();
}

}  // namespace cadre
