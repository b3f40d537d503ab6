// SPDX-License-Identifier: MIT
// What executor::for_each makes of its arguments. Included by executor.hpp.
#pragma once

#include <cadre/detail/map_remote.hpp>
#include <cadre/for_each.hpp>

#include <memory>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

namespace cadre::detail {

[[noreturn]] CADRE_API void throw_negative_count(long long count);

/// The work of a loop: `body(i)` for each index. The body refers to what is the caller's, who waits.
template <typename Body>
class loop_work final : public map_schedule {
 public:
  loop_work(const settings& s, const Body& body) : map_schedule{s}, body_{body} {}

 private:
  ending run(const chunk& c) noexcept override {
    const Body body = body_;
    const std::size_t last = c.last;
    std::size_t i = c.first;
    try {
      for (; i < last; ++i) body(i);
    } catch (...) {
      return {i, caught("for_each")};
    }
    return {i, nullptr};
  }

  const Body body_;
};

template <typename Executor, typename Body>
void run_loop(Executor& where, const for_each_options& options, std::size_t elements,
              const Body& body) {
  refuse_limits("for_each", options.call);
  auto deadline = options.timeout ? deadline_after(*options.timeout) : never;
  if (const auto limit = options.call.expires_in) {
    deadline = std::min(deadline, deadline_after(*limit));
  }
  const auto work = std::make_shared<loop_work<Body>>(
      map_schedule::settings{"for_each", elements, options.chunk_size, where.max_workers(), false,
                             options.caller_runs, deadline, options.call},
      body);
  map_schedule::run_all(work, where);
}

inline map_options as_map(const for_each_options& options) {
  return {.chunk_size = options.chunk_size,
          .timeout = options.timeout,
          .ordered = false,
          .call = options.call};
}

/// Does not compile, and says so, if for_each cannot call it.
template <typename Function, typename Element>
constexpr bool can_loop() {
  static_assert(std::is_invocable_v<const Function&, Element>,
                "cadre: for_each cannot call the callable (as const) with the elements");
  return std::is_invocable_v<const Function&, Element>;
}

/// The numbers below `count`.
template <typename Count>
auto numbers_below(Count count) {
  if constexpr (std::is_signed_v<Count>) {
    if (count < 0) throw_negative_count(count);
  }
  return std::views::iota(Count{0}, count);
}

/// What one element of the loop is to the callable.
template <typename Input>
struct loop_element_of {
  using type = std::remove_cvref_t<Input>;
};
template <std::ranges::input_range Input>
struct loop_element_of<Input> {
  using type = std::ranges::range_reference_t<Input>;
};
template <typename Input>
using loop_element = typename loop_element_of<Input>::type;

template <typename Executor, typename Function, loop_count Count>
void loop_here(Executor& where, const for_each_options& options, Count count,
               const Function& function) {
  const auto numbers = numbers_below(count);
  static_cast<void>(numbers);
  run_loop(where, options, static_cast<std::size_t>(count), [&function](std::size_t i) {
    static_cast<void>(call_elements(function, static_cast<Count>(i)));
  });
}

template <typename Executor, typename Function, std::ranges::input_range Range>
void loop_here(Executor& where, const for_each_options& options, Range& range,
               const Function& function) {
  using reference = std::ranges::range_reference_t<Range>;
  if constexpr (is_indexed<Range>) {
    using difference = std::ranges::range_difference_t<Range>;
    run_loop(where, options, static_cast<std::size_t>(std::ranges::size(range)),
             [&function, begin = std::ranges::begin(range)](std::size_t i) {
               static_cast<void>(call_elements(function, begin[static_cast<difference>(i)]));
             });
  } else if constexpr (std::is_lvalue_reference_v<reference> && std::ranges::forward_range<Range>) {
    std::vector<std::add_pointer_t<reference>> elements;
    for (auto& each : range) elements.push_back(std::addressof(each));
    run_loop(where, options, elements.size(), [&function, at = elements.data()](std::size_t i) {
      static_cast<void>(call_elements(function, *at[i]));
    });
  } else {
    std::vector<std::ranges::range_value_t<Range>> elements;
    for (auto&& each : range) elements.push_back(std::forward<decltype(each)>(each));
    run_loop(where, options, elements.size(), [&function, at = elements.data()](std::size_t i) {
      static_cast<void>(call_elements(function, static_cast<reference&&>(at[i])));
    });
  }
}

/// executor::for_each().
template <typename Executor, typename Function, typename Input>
void start_loop(Executor& where, const for_each_options& options, Input&& input,
                const Function& function) {
  if constexpr (can_loop<Function, loop_element<Input>>()) {
    if (is_empty_callable(function)) throw_empty_callable("for_each");
    loop_here(where, options, input, function);
  }
}

/// The same in other processes.
template <typename Executor, typename Function, typename Input>
void start_remote_loop(Executor& where, const for_each_options& options, Input&& input,
                       const Function& function) {
  if constexpr (can_loop<Function, loop_element<Input>>()) {
    if (is_empty_callable(function)) throw_empty_callable("for_each");
    const auto run = [&](auto elements) {
      start_remote_map(where, as_map(options), function, std::move(elements)).wait();
    };
    if constexpr (std::ranges::input_range<Input>) {
      run(std::views::all(std::forward<Input>(input)));
    } else {
      run(numbers_below(input));
    }
  }
}

}  // namespace cadre::detail
