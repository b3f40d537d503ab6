// SPDX-License-Identifier: MIT
// What executor::for_each makes of its arguments. Included by executor.hpp.
#pragma once

#include <cadre/detail/map_remote.hpp>
#include <cadre/for_each.hpp>

#include <iterator>
#include <memory>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

namespace cadre::detail {

[[noreturn]] CADRE_API void throw_negative_count(long long count);

/// Does not compile, and says so, if for_each cannot call it with `Element`, or ends nowhere.
template <typename Function, typename Input, typename Element>
constexpr bool can_loop() {
  if constexpr (std::ranges::input_range<Input>) {
    static_assert(
        !std::same_as<std::ranges::sentinel_t<Input>, std::unreachable_sentinel_t>,
        "cadre: for_each needs a range that ends; map with a buffer_size takes endless ones");
  }
  static_assert(std::is_invocable_v<const Function&, Element>,
                "cadre: for_each cannot call the callable (as const) with the elements");
  return std::is_invocable_v<const Function&, Element>;
}

inline time_point deadline_of(const for_each_options& options) {
  return std::min(deadline_after(options.timeout), deadline_after(options.call.expires_in));
}

template <typename Count>
void refuse_negative(Count count) {
  if constexpr (std::is_signed_v<Count>) {
    if (count < 0) throw_negative_count(count);
  }
}

// --- in this process ---

/// The work of a loop: `body(i)` for each index. The body refers to what is the caller's, who waits.
template <typename Body>
class loop_work final : public map_schedule {
 public:
  loop_work(const settings& s, const Body& body) : map_schedule{s}, body_{body} {}

 private:
  ending run(const chunk& c) noexcept override {
    const std::size_t last = c.last;
    std::size_t i = c.first;
    try {
      const Body body = body_;
      for (; i < last; ++i) body(i);
    } catch (...) {
      return {i, caught("for_each")};
    }
    return {i, nullptr};
  }

  const Body body_;
};

/// What the loop runs on, besides its elements.
template <typename Executor>
struct loop_place {
  Executor& where;
  const for_each_options& options;
  time_point deadline;

  template <typename Body>
  void run(std::size_t elements, const Body& body) const {
    const auto work = std::make_shared<loop_work<Body>>(
        map_schedule::settings{"for_each", elements, options.chunk_size, where.max_workers(), false,
                               options.caller_runs, deadline, options.call},
        body);
    map_schedule::run_all(work, where);
  }
};

/// An element of a range that has to be listed.
template <typename Reference>
struct listed_element {
  using value_type =
      std::conditional_t<std::is_reference_v<Reference>, std::remove_cvref_t<Reference>,
                         std::remove_cv_t<Reference>>;
  value_type value;
};

template <typename Place, typename Function, loop_count Count>
void loop_here(const Place& place, Count count, const Function& function) {
  refuse_negative(count);
  place.run(static_cast<std::size_t>(count), [&function](std::size_t i) {
    static_cast<void>(call_elements(function, static_cast<Count>(i)));
  });
}

template <typename Place, typename Function, std::ranges::input_range Range>
void loop_here(const Place& place, Range& range, const Function& function) {
  using reference = std::ranges::range_reference_t<Range>;
  if constexpr (is_indexed<Range>) {
    using difference = std::ranges::range_difference_t<Range>;
    place.run(static_cast<std::size_t>(std::ranges::size(range)),
              [&function, begin = std::ranges::begin(range)](std::size_t i) {
                static_cast<void>(call_elements(function, begin[static_cast<difference>(i)]));
              });
  } else if constexpr (std::is_lvalue_reference_v<reference> && std::ranges::forward_range<Range>) {
    std::vector<std::add_pointer_t<reference>> elements;
    for (auto& each : range) elements.push_back(std::addressof(each));
    place.run(elements.size(), [&function, at = elements.data()](std::size_t i) {
      static_cast<void>(call_elements(function, *at[i]));
    });
  } else {
    std::vector<listed_element<reference>> elements;
    for (auto&& each : range) elements.push_back({std::forward<decltype(each)>(each)});
    place.run(elements.size(), [&function, at = elements.data()](std::size_t i) {
      if constexpr (std::is_lvalue_reference_v<reference>) {
        static_cast<void>(call_elements(function, at[i].value));
      } else {
        static_cast<void>(call_elements(function, std::move(at[i].value)));
      }
    });
  }
}

/// executor::for_each().
template <typename Executor, typename Function, typename Input>
void start_loop(Executor& where, const for_each_options& options, Input&& input,
                const Function& function) {
  if constexpr (can_loop<Function, Input, typename loop_traits<Input>::element>()) {
    if (is_empty_callable(function)) throw_empty_callable("for_each");
    refuse_limits("for_each", options.call);
    loop_here(loop_place<Executor>{where, options, deadline_of(options)}, input, function);
  }
}

// --- in other processes ---

/// Calls with copies of elements as with elements, and drops what is returned.
template <typename Function, bool Lvalues>
struct loop_body {
  [[no_unique_address]] Function function;

  template <typename Element>
  void operator()(Element&& element) const {
    if constexpr (Lvalues) {
      static_cast<void>(call_elements(function, element));
    } else {
      static_cast<void>(call_elements(function, std::forward<Element>(element)));
    }
  }
};

template <typename Function, bool Lvalues>
struct callable_codec<loop_body<Function, Lvalues>> {
  using callable = loop_body<Function, Lvalues>;

  template <typename Functions>
  static void encode(encoder& out, const callable& body, Functions&& functions) {
    callable_codec<Function>::encode(out, body.function, functions);
  }
  template <typename Functions>
  static callable decode(decoder& in, Functions&& functions) {
    return {callable_codec<Function>::decode(in, functions)};
  }
};

/// So many elements are under way at once that no worker waits for some, and few enough that an end of the
/// loop costs little.
template <typename Body, typename Executor, typename Input>
void run_remote_loop(Executor& where, const for_each_options& options, time_point deadline,
                     Body body, Input input) {
  constexpr std::size_t most_in_chunk = 4096;
  constexpr std::size_t chunks_per_worker = 8;
  const map_options as_map{
      .chunk_size = options.chunk_size, .ordered = false, .call = options.call};
  const unsigned workers = where.max_workers();
  std::size_t chunk = remote_chunk(as_map, workers, input);
  if (options.chunk_size == 0) chunk = std::min(chunk, most_in_chunk);
  const std::size_t chunks = chunks_per_worker * workers;
  const std::size_t size =
      chunk < static_cast<std::size_t>(-1) / chunks ? chunk * chunks : static_cast<std::size_t>(-1);
  start_remote_source<void, Body>("for_each", where, as_map, size, chunk, deadline, std::move(body),
                                  std::move(input))
      .wait();
}

/// executor::for_each() for other processes.
template <typename Executor, typename Function, typename Input>
void start_remote_loop(Executor& where, const for_each_options& options, Input&& input,
                       const Function& function) {
  using value = typename loop_traits<Input>::value;
  constexpr bool lvalues = std::is_lvalue_reference_v<typename loop_traits<Input>::element>;
  using body = loop_body<std::decay_t<const Function>, lvalues>;
  if constexpr (can_loop<Function, Input, std::conditional_t<lvalues, value&, value&&>>()) {
    static_assert(std::copy_constructible<std::decay_t<const Function>>,
                  "cadre: for_each copies the callable for other processes, and this one cannot be "
                  "copied");
    if (is_empty_callable(function)) throw_empty_callable("for_each");
    const time_point deadline = deadline_of(options);
    const auto run = [&](auto elements) {
      run_remote_loop<body>(where, options, deadline, body{function}, std::move(elements));
    };
    if constexpr (!std::ranges::input_range<Input>) {
      refuse_negative(input);
      run(std::views::iota(value{0}, value{input}));
    } else if constexpr (std::is_lvalue_reference_v<Input> && is_indexed<Input>) {
      static_assert(std::copy_constructible<value>,
                    "cadre: for_each copies the elements of an lvalue range for other processes, "
                    "and these cannot be copied; pass the range with std::move");
      run(std::views::all(input));
    } else {
      run(make_indexed_input(std::forward<Input>(input)));
    }
  }
}

}  // namespace cadre::detail
