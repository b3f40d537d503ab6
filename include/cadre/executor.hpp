// SPDX-License-Identifier: MIT
// executor: whatever runs calls. What thread pools, process pools and clusters share.
//
//     std::unique_ptr<cadre::executor> any = cadre::make_executor("threads:8");
//     cadre::future<double> y = any->submit(&simulate, 42);
//     any->shutdown();
//
// Portable   Through this class a call must be portable, so that the kind of executor can be chosen
//            at run time: a function, a captureless lambda or a functor without pointers, and
//            arguments and results that are values. local_executor takes any callable.
// Threads    Any thread may call any member at any time, also from within a call.
// Ordering   What was sequenced before submit() happens before the call begins.
// Errors     shutdown_error after shutdown() began, broken_executor, queue_full;
//            std::invalid_argument for an empty callable.
// Source     Python's concurrent.futures.Executor.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/call.hpp>
#include <cadre/detail/portable.hpp>
#include <cadre/detail/portable_call.hpp>
#include <cadre/for_each.hpp>
#include <cadre/future.hpp>
#include <cadre/map.hpp>
#include <cadre/stats.hpp>
#include <cadre/submit_options.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <iterator>
#include <optional>
#include <ranges>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace cadre {

namespace detail {

struct executor_access;

template <typename Executor, typename Function, std::ranges::input_range... Ranges>
auto start_map(Executor& where, const map_options& options, Function&& function,
               Ranges&&... ranges);
template <typename Executor, typename Function, std::ranges::input_range... Ranges>
auto start_remote_map(Executor& where, const map_options& options, Function&& function,
                      Ranges&&... ranges);
template <typename Executor, typename Function, typename Input>
void start_loop(Executor& where, const for_each_options& options, Input&& input,
                const Function& function);
template <typename Executor, typename Function, typename Input>
void start_remote_loop(Executor& where, const for_each_options& options, Input&& input,
                       const Function& function);

/// where.submit(options, function, x) for each x of `inputs`.
template <typename Executor, typename Function, std::ranges::input_range Range>
auto submit_each(Executor& where, const submit_options& options, const Function& function,
                 Range&& inputs) {
  using input = std::ranges::range_reference_t<Range>;
  std::vector<decltype(where.submit(options, function, std::declval<input>()))> futures;
  if constexpr (std::ranges::sized_range<Range>) futures.reserve(std::ranges::size(inputs));
  for (auto&& x : inputs) {
    futures.push_back(where.submit(options, function, std::forward<decltype(x)>(x)));
  }
  return futures;
}

}  // namespace detail

struct shutdown_options {
  bool wait = true;             ///< block until the calls are done and the workers have ended
  bool cancel_pending = false;  ///< cancel the calls that have not begun
  /// How long to wait for the calls to end by themselves. Then what is pending is cancelled, what
  /// runs is asked to stop, as by future::request_stop(), and after `grace` shutdown() returns and says
  /// what still runs. In worker processes that is killed after its own grace. Only of a shutdown() that
  /// waits: not with `wait = false`, nor in a callback of the executor itself.
  std::optional<std::chrono::nanoseconds> deadline = {};
  std::chrono::nanoseconds grace = std::chrono::milliseconds{100};
};

/// What shutdown() left behind.
struct shutdown_report {
  bool complete = true;            ///< all calls are done, all workers have ended
  std::size_t still_running = 0;   ///< calls that did not stop in time
  std::vector<std::string> names;  ///< of these, the names of those that have one
};

class CADRE_API executor {
 public:
  executor(const executor&) = delete;
  executor& operator=(const executor&) = delete;
  /// The derived executor's destructor has called shutdown(), which ends its timers, too.
  virtual ~executor();

  /// Runs `function(args...)` on a worker. Does not block, unless the executor is bounded and
  /// blocks when it is full. A string literal is passed as a std::string.
  template <typename Function, typename... Args>
    requires(!std::same_as<std::remove_cvref_t<Function>, submit_options>)
  auto submit(Function&& function, Args&&... args) {
    detail::check_portable<Function, detail::crossing<Args>...>();
    return submit_any<true>({}, std::forward<Function>(function),
                            static_cast<detail::crossing<Args>&&>(args)...);
  }
  template <typename Function, typename... Args>
  auto submit(submit_options options, Function&& function, Args&&... args) {
    detail::check_portable<Function, detail::crossing<Args>...>();
    return submit_any<true>(std::move(options), std::forward<Function>(function),
                            static_cast<detail::crossing<Args>&&>(args)...);
  }

  /// As submit(function, x) for each x of `inputs`: one future for each. If submit() throws, those before
  /// have been submitted, and run.
  template <typename Function, std::ranges::input_range Range>
  auto submit_bulk(const Function& function, Range&& inputs) {
    return detail::submit_each(*this, {}, function, std::forward<Range>(inputs));
  }
  template <typename Function, std::ranges::input_range Range>
  auto submit_bulk(const submit_options& options, const Function& function, Range&& inputs) {
    return detail::submit_each(*this, options, function, std::forward<Range>(inputs));
  }

  /// Calls `function` with each element of the ranges, taken together, on the workers, and returns
  /// the range of the results. See map.hpp.
  template <typename Function, std::ranges::input_range... Ranges>
    requires(sizeof...(Ranges) > 0)
  auto map(Function&& function, Ranges&&... ranges) {
    return map(map_options{}, std::forward<Function>(function), std::forward<Ranges>(ranges)...);
  }
  template <typename Function, std::ranges::input_range... Ranges>
    requires(sizeof...(Ranges) > 0)
  auto map(map_options options, Function&& function, Ranges&&... ranges) {
    detail::check_portable<Function, std::ranges::range_value_t<Ranges>...>();
    if (do_runs_elsewhere()) {
      return detail::start_remote_map(*this, options, std::forward<Function>(function),
                                      std::forward<Ranges>(ranges)...);
    }
    return detail::start_map(*this, options, std::forward<Function>(function),
                             std::forward<Ranges>(ranges)...);
  }

  /// Calls `function` with each number below a count, or with each element of a range, and returns when
  /// all are done. See for_each.hpp.
  template <detail::loop_input Input, typename Function>
  void for_each(Input&& input, const Function& function) {
    for_each(for_each_options{}, std::forward<Input>(input), function);
  }
  template <detail::loop_input Input, typename Function>
  void for_each(const for_each_options& options, Input&& input, const Function& function) {
    // What it returns is dropped.
    using body = detail::loop_body<std::decay_t<const Function>, false>;
    detail::check_portable<body, typename detail::loop_traits<Input>::value>();
    if (do_runs_elsewhere()) {
      detail::start_remote_loop(*this, options, std::forward<Input>(input), function);
    } else {
      detail::start_loop(*this, options, std::forward<Input>(input), function);
    }
  }

  /// No more calls are accepted; those accepted run, unless cancelled. Idempotent, and concurrent
  /// calls are safe. On one of the executor's own workers it does not wait.
  /// Timers of this executor that have not come fail with shutdown_error at once: see timer.hpp.
  shutdown_report shutdown(const shutdown_options& options = {});

  /// A snapshot. Cost: some loads per worker.
  executor_stats stats() const { return do_stats(); }

  /// Nothing can run here any more: its workers cannot be started or initialised, or one died that was to
  /// end all. stats().broken says why. Cost: that of stats().
  bool is_broken() const { return !stats().broken.empty(); }

  /// How many calls can run at the same time.
  unsigned max_workers() const noexcept { return do_max_workers(); }

 protected:
  executor() = default;

  /// submit(), of a call that can cross to another process, or of any.
  template <bool Portable, typename Function, typename... Args>
  auto submit_any(submit_options options, Function&& function, Args&&... args);

 private:
  friend struct detail::executor_access;

  /// Queues `call` and takes over one reference to it; on an exception that stays the caller's.
  /// Its owner is set here. The name of `options` has moved into the call.
  virtual void do_enqueue(detail::state_base& call, const submit_options& options) = 0;
  /// Queues the `count` calls from `first` on, linked by queue_next, with one wake-up in all. On an
  /// exception, `first` is the first one that is still the caller's. The default is a loop over
  /// do_enqueue().
  virtual void do_enqueue_all(detail::state_base*& first, std::size_t count);
  virtual shutdown_report do_shutdown(const shutdown_options& options) = 0;
  virtual executor_stats do_stats() const = 0;
  virtual unsigned do_max_workers() const noexcept = 0;
  /// True if calls run in other processes, and so are encoded: before do_enqueue() returns, since
  /// their arguments may be the caller's own.
  virtual bool do_runs_elsewhere() const noexcept { return false; }
  /// What the executor's workers know it by; null if it has none.
  virtual const void* do_identity() const noexcept { return nullptr; }
};

namespace detail {

/// The door between executors and what is built upon them.
struct executor_access {
  static void enqueue(executor& where, state_base& call, const submit_options& options = {}) {
    where.do_enqueue(call, options);
  }
  static void enqueue_all(executor& where, state_base*& first, std::size_t count) {
    where.do_enqueue_all(first, count);
  }
  static const void* identity(const executor& where) noexcept { return where.do_identity(); }
  static bool runs_elsewhere(const executor& where) noexcept { return where.do_runs_elsewhere(); }
};

/// Calls on their way into an executor together. Holds the queue's reference to each.
class CADRE_API call_chain {
 public:
  call_chain() noexcept = default;
  call_chain(const call_chain&) = delete;
  call_chain& operator=(const call_chain&) = delete;
  /// Drops what was not submitted.
  ~call_chain();

  void push(state_base& call) noexcept;
  /// With one wake-up in all, if they have no priority.
  void submit(executor& where, const submit_options& options = {});

 private:
  state_base* first_ = nullptr;
  state_base* last_ = nullptr;
  std::size_t count_ = 0;
};

/// Lets `where` run a call whose future is out already. If it refuses, the call fails with the reason.
CADRE_API void submit_proxy(executor& where, state_base& call,
                            const submit_options& options) noexcept;

/// Gives a call to an executor, by `enqueue`, and its future to the caller.
template <typename T, typename Call, typename Enqueue>
future<T> launch(Call* call, const submit_options& options, const Enqueue& enqueue) {
  using ref = detail::ref<state<T>>;
  auto result = access::make(ref{call, typename ref::adopt{}});
  // The queue's reference, until the queue has taken it.
  ref queued{call, typename ref::adopt{}};
  enqueue(*call, options);
  queued.detach();
  return result;
}
template <typename T, typename Call>
future<T> launch(executor& where, Call* call) {
  return launch<T>(call, {}, [&where](state_base& c, const submit_options& o) {
    executor_access::enqueue(where, c, o);
  });
}

/// Returns auto so that the compiler looks into it at once, before other errors that follow from this one.
template <typename Function, typename... Args>
auto check_callable(const char* who, const Function& function) {
  static_assert(is_callable<Function, Args...>,
                "cadre: the callable cannot be called with these arguments; they are stored as "
                "values and passed as rvalues (use std::ref for a reference)");
  if (is_empty_callable(function)) throw_empty_callable(who);
}

/// Makes the call and has `enqueue(call, options)` queue it.
template <bool Portable, typename T, bool TakesToken, typename Enqueue, typename MakeWork>
future<T> submit_work(const Enqueue& enqueue, submit_options& options, const MakeWork& make_work) {
  using work = decltype(make_work());
  if constexpr (!TakesToken) {
    if (options.name.empty() && !options.stop_token.stop_possible() && !options.expires_in) {
      using plain = call<T, work>;
      using type = std::conditional_t<Portable, portable_call<plain>, plain>;
      return launch<T>(new type{made_by<MakeWork>{make_work}}, options, enqueue);
    }
  }
  using tracked = tracked_call<T, work, TakesToken>;
  using type = std::conditional_t<Portable, portable_call<tracked>, tracked>;
  const auto limit = deadline_after(options.expires_in);
  auto* call =
      new type{std::move(options.name), options.stop_token, limit, made_by<MakeWork>{make_work}};
  const bool expired = options.expires_in && *options.expires_in <= options.expires_in->zero();
  if (expired || options.stop_token.stop_requested()) {  // too late: it is never queued
    expired ? call->expire(expired_error(*call)) : call->cancel();
    call->release();
    using ref = detail::ref<state<T>>;
    return access::make(ref{call, typename ref::adopt{}});
  }
  auto f = launch<T>(call, options, enqueue);
  call->follow_token();
  if (limit != never) expire_in_time(*call);
  return f;
}

template <bool Portable, typename T, typename MakeWork>
future<T> submit_made(executor& where, submit_options options, const MakeWork& make_work) {
  return submit_work<Portable, T, false>(
      [&where](state_base& call, const submit_options& o) {
        executor_access::enqueue(where, call, o);
      },
      options, make_work);
}

/// submit(), to wherever `enqueue` puts the call. `lends`: it encodes the call before it returns, so
/// that arguments may stay the caller's.
template <bool Portable, typename Enqueue, typename Function, typename... Args>
auto submit_by(const Enqueue& enqueue, [[maybe_unused]] bool lends, submit_options& options,
               Function&& function, Args&&... args) {
  check_callable<Function, Args...>("submit", function);
  if constexpr (is_callable<Function, Args...>) {
    using result = call_result<Function, Args...>;
    static_assert(is_result<result>,
                  "cadre: the result of a call must be movable, a reference or void");
    if constexpr (is_result<result>) {
      using work = bound_for<Function, Args...>;
      constexpr bool takes_token = takes_stop_token<Function, Args...>;
      if constexpr (Portable && (is_lent<Args> || ...)) {
        if (lends) {
          using lent = lent_work<result, std::decay_t<Function>, lent_argument<Args>...>;
          return submit_work<Portable, result, takes_token>(enqueue, options, [&] {
            return lent{std::forward<Function>(function), {std::forward<Args>(args)...}};
          });
        }
      }
      return submit_work<Portable, result, takes_token>(enqueue, options, [&] {
        if constexpr (sizeof...(Args) == 0) {
          return work{std::forward<Function>(function)};
        } else {
          return work{std::forward<Function>(function), {std::forward<Args>(args)...}};
        }
      });
    }
  }
}

}  // namespace detail

template <bool Portable, typename Function, typename... Args>
auto executor::submit_any(submit_options options, Function&& function, Args&&... args) {
  return detail::submit_by<Portable>(
      [this](detail::state_base& call, const submit_options& o) { do_enqueue(call, o); },
      do_runs_elsewhere(), options, std::forward<Function>(function), std::forward<Args>(args)...);
}

}  // namespace cadre

#include <cadre/detail/map_start.hpp>

#include <cadre/detail/map_remote.hpp>

#include <cadre/detail/for_each_start.hpp>
