// SPDX-License-Identifier: MIT
// local_executor: an executor whose calls run in this process, and so may be any callable.
//
//     auto f = pool.submit([&total, p = std::move(p)](int n) { total += p->weigh(n); }, 7);
//     pool.post([] { log("no future, no cost"); });
//     auto all = pool.submit_bulk(resize, images);   // one future for each
//
// Threads, Ordering, Errors   as executor.hpp.
// Cost       One heap block per call, recycled; a call with at most 16 bytes of callable and
//            arguments and a small result takes 64 bytes.
#pragma once

#include <cadre/config.hpp>
#include <cadre/executor.hpp>

#include <concepts>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

namespace cadre {

namespace detail {
struct task_host_access;
}

class CADRE_API local_executor : public executor, protected detail::task_host {
 public:
  ~local_executor() override;

  /// Runs `function(args...)` on a worker. The callable and its arguments are stored as values
  /// (std::ref passes a reference) and destroyed before the result is published. A callable that
  /// takes a std::stop_token first is given one. Blocks only if the executor is bounded and blocks
  /// when it is full.
  template <typename Function, typename... Args>
    requires(!std::same_as<std::remove_cvref_t<Function>, submit_options>)
  auto submit(Function&& function, Args&&... args) {
    return submit_any<false>({}, std::forward<Function>(function), std::forward<Args>(args)...);
  }
  template <typename Function, typename... Args>
  auto submit(submit_options options, Function&& function, Args&&... args) {
    return submit_any<false>(std::move(options), std::forward<Function>(function),
                             std::forward<Args>(args)...);
  }

  /// As submit(), but nobody will ask: no future, no cancel. What it throws goes to the unhandled
  /// hook.
  template <typename Function, typename... Args>
  void post(Function&& function, Args&&... args) {
    detail::check_callable<Function, Args...>("post", function);
    if constexpr (detail::is_callable<Function, Args...>) {
      static_assert(!detail::takes_stop_token<Function, Args...>,
                    "cadre: nobody can stop a posted call; submit one that takes a stop_token");
      using work = detail::bound_for<Function, Args...>;
      detail::state_base* call = nullptr;
      if constexpr (sizeof...(Args) == 0) {
        call = new detail::posted_call<work>{std::forward<Function>(function)};
      } else {
        call = new detail::posted_call<work>{
            std::forward<Function>(function),
            std::tuple<std::decay_t<Args>...>{std::forward<Args>(args)...}};
      }
      detail::ref queued{call, typename detail::ref<detail::state_base>::adopt{}};
      detail::executor_access::enqueue(*this, *call);
      queued.detach();
    }
  }

  /// As submit(function, x) for each x of `inputs`, with one wake-up in all. Each call has a copy
  /// of `function`.
  template <typename Function, std::ranges::input_range Range>
  auto submit_bulk(const Function& function, Range&& inputs) {
    using input = std::ranges::range_reference_t<Range>;
    using result = detail::call_result<Function, input>;
    using work = detail::bound_for<Function, input>;
    static_assert(!detail::takes_stop_token<Function, input>,
                  "cadre: submit_bulk gives no stop_token; submit each call by itself");
    if (detail::is_empty_callable(function)) detail::throw_empty_callable("submit_bulk");
    using ref = detail::ref<detail::state<result>>;
    std::vector<future<result>> futures;
    if constexpr (std::ranges::sized_range<Range>) futures.reserve(std::ranges::size(inputs));
    detail::call_chain chain;
    for (auto&& x : inputs) {
      auto* call = new detail::call<result, work>{
          work{function, std::tuple<std::decay_t<input>>{std::forward<decltype(x)>(x)}}};
      chain.push(*call);
      futures.push_back(detail::access::make(ref{call, typename ref::adopt{}}));
    }
    chain.submit(*this);
    return futures;
  }

  template <typename Function, std::ranges::input_range Range>
  auto submit_bulk(const submit_options& options, const Function& function, Range&& inputs) {
    return detail::submit_each(*this, options, function, std::forward<Range>(inputs));
  }

  /// As executor::map(), for any callable and elements.
  template <typename Function, std::ranges::input_range... Ranges>
    requires(sizeof...(Ranges) > 0)
  auto map(Function&& function, Ranges&&... ranges) {
    return map(map_options{}, std::forward<Function>(function), std::forward<Ranges>(ranges)...);
  }
  template <typename Function, std::ranges::input_range... Ranges>
    requires(sizeof...(Ranges) > 0)
  auto map(map_options options, Function&& function, Ranges&&... ranges) {
    return detail::start_map(*this, options, std::forward<Function>(function),
                             std::forward<Ranges>(ranges)...);
  }

  /// As executor::for_each(), for any callable and elements, which it refers to.
  template <detail::loop_input Input, typename Function>
  void for_each(Input&& input, const Function& function) {
    detail::start_loop(*this, {}, std::forward<Input>(input), function);
  }
  template <detail::loop_input Input, typename Function>
  void for_each(const for_each_options& options, Input&& input, const Function& function) {
    detail::start_loop(*this, options, std::forward<Input>(input), function);
  }

 protected:
  local_executor() = default;

 private:
  friend struct detail::task_host_access;

  /// What keeps tasks. The default queues the rest of a task as a call of its own, which fails after
  /// shutdown(), and lets shutdown() wait for none that is suspended.
  virtual detail::task_host& do_task_host() noexcept { return *this; }

  void hold() override {}
  void release() noexcept override {}
  void resume_task(detail::state_base& rest, int priority) override;
  void enter(detail::call_registry::entry&) noexcept override {}
  void leave(detail::call_registry::entry&) noexcept override {}
};

namespace detail {

/// The door from tasks to executors.
struct task_host_access {
  static task_host& host_of(local_executor& where) noexcept { return where.do_task_host(); }
};

}  // namespace detail

}  // namespace cadre
