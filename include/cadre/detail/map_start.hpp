// SPDX-License-Identifier: MIT
// What executor::map makes of its arguments. Included by executor.hpp.
#pragma once

#include <cadre/detail/call.hpp>
#include <cadre/detail/caught.hpp>
#include <cadre/detail/map_schedule.hpp>
#include <cadre/errors.hpp>
#include <cadre/map.hpp>
#include <cadre/wait.hpp>

#include <deque>
#include <exception>
#include <memory>
#include <ranges>
#include <tuple>
#include <utility>
#include <vector>

namespace cadre::detail {

[[noreturn]] CADRE_API void throw_bad_buffer_size();
[[noreturn]] CADRE_API void throw_bad_caller_runs();
[[noreturn]] CADRE_API void throw_map_timeout(const char* who, std::size_t unread);
/// For a worker process that answers for others than it was sent.
[[noreturn]] CADRE_API void throw_wrong_batch(const char* who, std::size_t answered,
                                              std::size_t sent);

// --- the input ---

/// A container that map owns: its elements are passed as rvalues.
template <typename Range>
class owned_input {
 public:
  explicit owned_input(Range range) : range_{std::move(range)} {}
  auto begin() { return std::move_iterator{std::ranges::begin(range_)}; }
  auto end() { return std::move_sentinel{std::ranges::end(range_)}; }
  std::size_t size() const { return static_cast<std::size_t>(std::ranges::size(range_)); }

 private:
  Range range_;
};

/// Views stay views; containers are copied or moved into an owned_input.
template <std::ranges::input_range Range>
auto make_input(Range&& range) {
  using plain = std::remove_cvref_t<Range>;
  if constexpr (std::ranges::view<plain>) {
    return plain{std::forward<Range>(range)};
  } else if constexpr (std::is_array_v<plain>) {
    using element = std::remove_cv_t<std::remove_extent_t<plain>>;
    return owned_input<std::vector<element>>{{std::begin(range), std::end(range)}};
  } else {
    static_assert(std::constructible_from<plain, Range>,
                  "cadre: map copies a container that is an lvalue, and this one cannot be copied; "
                  "pass it with std::move, or a view of it (std::span, std::views::all)");
    return owned_input<plain>{plain(std::forward<Range>(range))};
  }
}

/// An input whose elements can be reached by their index, from several threads.
template <typename Range>
inline constexpr bool is_indexed =
    std::ranges::random_access_range<Range> && std::ranges::sized_range<Range>;

/// The input as an indexed one: a vector of its elements if it is not.
template <std::ranges::input_range Range>
auto make_indexed_input(Range&& range) {
  if constexpr (is_indexed<std::remove_reference_t<Range>>) {
    return make_input(std::forward<Range>(range));
  } else {
    auto input = make_input(std::forward<Range>(range));
    // A vector of truth values has none that could be referred to.
    using value = std::ranges::range_value_t<Range>;
    std::conditional_t<std::is_same_v<value, bool>, std::deque<value>, std::vector<value>> elements;
    for (auto&& x : input) elements.push_back(std::forward<decltype(x)>(x));
    return owned_input<decltype(elements)>{std::move(elements)};
  }
}

template <typename Input>
using element_of = decltype(*std::declval<Input&>().begin());

template <typename Function, typename... Inputs>
using map_result = std::remove_cv_t<std::conditional_t<
    std::is_rvalue_reference_v<std::invoke_result_t<const Function&, element_of<Inputs>...>>,
    std::remove_reference_t<std::invoke_result_t<const Function&, element_of<Inputs>...>>,
    std::invoke_result_t<const Function&, element_of<Inputs>...>>>;

/// std::invoke(), whose header costs 13,000 lines more.
template <typename Function, typename... Elements>
decltype(auto) call_elements(const Function& function, Elements&&... elements) {
  return std::apply(function, std::forward_as_tuple(std::forward<Elements>(elements)...));
}

/// Calls `function` and puts its result into `slot`.
template <typename R, typename Function, typename... Elements>
void fill_slot(map_slot<R>& slot, const Function& function, Elements&&... elements) {
  const auto call = [&]() -> decltype(auto) {
    return call_elements(function, std::forward<Elements>(elements)...);
  };
  if constexpr (std::is_void_v<R>) {
    call();
    slot = {};
  } else if constexpr (std::is_lvalue_reference_v<R>) {
    slot = &call();
  } else if constexpr (map_bare<R>) {
    slot = call();
  } else {
    slot.emplace(call());
  }
}

// --- all input at once ---

/// The work of an eager map: input and results side by side, shared by reader and runners.
template <typename R, typename Function, typename... Inputs>
class indexed_work final : public map_schedule {
 public:
  indexed_work(const settings& s, Function function, std::tuple<Inputs...> inputs)
      : map_schedule{s},
        function_{std::move(function)},
        inputs_{std::move(inputs)},
        begins_{std::apply([](auto&... in) { return std::tuple{in.begin()...}; }, inputs_)},
        slots_{new map_slot<R>[s.elements]} {}

  map_slot<R>* slot(std::size_t i) noexcept { return slots_.get() + i; }

 private:
  using begins = std::tuple<decltype(std::declval<Inputs&>().begin())...>;

  ending run(const chunk& c) noexcept override {
    return run_elements(c, begins_, std::index_sequence_for<Inputs...>{});
  }

  /// All that the loop uses is local, so that it can be vectorised.
  template <std::size_t... I>
  ending run_elements(const chunk& c, const begins& inputs, std::index_sequence<I...>) noexcept {
    map_slot<R>* const slots = slots_.get();
    const std::size_t last = c.last;
    std::size_t i = c.first;
    try {
      for (; i < last; ++i) {
        fill_slot<R>(slots[i], function_, std::get<I>(inputs)[static_cast<std::ptrdiff_t>(i)]...);
      }
    } catch (...) {
      return {i, caught("map")};
    }
    return {i, nullptr};
  }

  const Function function_;
  std::tuple<Inputs...> inputs_;
  begins begins_;
  std::unique_ptr<map_slot<R>[]> slots_;
};

template <typename R, typename Work>
class indexed_source final : public map_source<R> {
 public:
  indexed_source(std::shared_ptr<Work> work, bool detached)
      : work_{std::move(work)}, detached_{detached} {}
  ~indexed_source() override {
    work_->abandon();
    if (!detached_) work_->await_taken();
  }

  ready_slots<R> next() override {
    const map_schedule::chunk c = work_->next();
    return {work_->slot(c.first), work_->slot(c.last)};
  }

  void detach() noexcept override { detached_ = true; }

 private:
  std::shared_ptr<Work> work_;
  bool detached_;
};

// --- a window over the input ---

/// An element on its way to a worker: where it lies if it stays there, else its value.
template <typename Input>
using carried_element =
    std::conditional_t<std::is_lvalue_reference_v<element_of<Input>> &&
                           std::forward_iterator<decltype(std::declval<Input&>().begin())>,
                       element_of<Input>, std::remove_cvref_t<element_of<Input>>>;

/// What one call of a windowed map brings back.
template <typename R>
struct map_batch {
  std::vector<map_slot<R>> slots;
  std::size_t taken;         // elements of the input
  std::exception_ptr error;  // of the element after the last slot
};

/// Calls `function` with each of the elements of `chunk`.
template <typename R, typename Function, typename Elements>
map_batch<R> run_batch(const Function& function, std::vector<Elements>& chunk) {
  map_batch<R> result{{}, chunk.size(), nullptr};
  result.slots.reserve(chunk.size());
  try {
    for (Elements& elements : chunk) {
      result.slots.emplace_back();
      [&]<std::size_t... I>(std::index_sequence<I...>) {
        fill_slot<R>(result.slots.back(), function,
                     std::forward<std::tuple_element_t<I, Elements>>(std::get<I>(elements))...);
      }(std::make_index_sequence<std::tuple_size_v<Elements>>{});
    }
  } catch (...) {
    result.slots.pop_back();
    result.error = std::current_exception();
    if (!result.error) throw;  // the call ends its thread: who runs it tells by what name
  }
  return result;
}

/// The call for one batch, for an executor in this process.
template <typename R, typename Function, typename Elements>
struct local_batch_call {
  static constexpr bool is_portable = false;

  std::shared_ptr<const Function> function;
  std::vector<Elements> chunk;

  map_batch<R> operator()() { return run_batch<R>(*function, chunk); }
};

/// Never more than `size` elements between input and reader. `Elements`: a tuple of one element of
/// each input, as it travels to the worker.
template <typename R, template <typename, typename, typename> typename BatchCall, typename Elements,
          typename Function, typename... Inputs>
class windowed_source final : public map_source<R> {
 public:
  windowed_source(const char* who, executor& where, const map_options& options, std::size_t size,
                  std::size_t chunk, time_point deadline, Function function,
                  std::tuple<Inputs...> inputs)
      : who_{who},
        where_{where},
        size_{size},
        chunk_{std::min(chunk, size)},
        ordered_{options.ordered},
        detached_{options.detach},
        call_options_{options.call},
        deadline_{deadline},
        function_{std::make_shared<const Function>(std::move(function))},
        inputs_{std::move(inputs)},
        positions_{std::apply([](auto&... in) { return std::tuple{in.begin()...}; }, inputs_)},
        completed_{{}, deadline} {
    try {
      fill();
    } catch (...) {
      end();
      throw;
    }
  }
  ~windowed_source() override { end(); }

  ready_slots<R> next() override {
    if (over_) return {};
    unread_ -= std::exchange(current_.taken, 0);
    if (current_.error) {
      cancel_rest();
      observe_rest();
      std::rethrow_exception(std::exchange(current_.error, nullptr));
    }
    try {
      fill();
      if (window_.empty()) {
        if (skipped_.valid()) static_cast<void>(skipped_.get());  // throws that it was cancelled
        return {};
      }
      piece next_one = take_next();
      batch got = std::move(next_one.answer).get();
      if (got.taken != next_one.elements) throw_wrong_batch(who_, got.taken, next_one.elements);
      current_ = std::move(got);
    } catch (...) {
      cancel_rest();
      observe_rest();
      throw;
    }
    if (current_.slots.empty()) return next();  // its first element threw
    return {current_.slots.data(), current_.slots.data() + current_.slots.size()};
  }

  void detach() noexcept override { detached_ = true; }

 private:
  using batch = map_batch<R>;
  using work = BatchCall<R, Function, Elements>;

  struct piece {
    future<batch> answer = {};
    std::size_t elements = 0;
  };

  bool at_end() {
    return [this]<std::size_t... I>(std::index_sequence<I...>) {
      return ((std::get<I>(positions_) == std::get<I>(inputs_).end()) || ...);
    }(std::index_sequence_for<Inputs...>{});
  }

  /// Submits until the window is full or the input is at its end.
  void fill() {
    while (unread_ < size_ && !at_end()) {
      std::vector<Elements> chunk;
      for (; chunk.size() < chunk_ && unread_ < size_ && !at_end(); ++unread_) {
        std::apply([&](auto&... at) { chunk.emplace_back(*at...), (++at, ...); }, positions_);
      }
      piece& sent = window_.emplace_back();  // first: what is sent must be known
      sent.elements = chunk.size();
      try {
        sent.answer = submit_chunk(chunk);
      } catch (...) {
        window_.pop_back();
        throw;
      }
      if (!ordered_) completed_.add(sent.answer);
    }
  }

  future<batch> submit_chunk(std::vector<Elements>& chunk) {
    return submit_made<work::is_portable, batch>(where_, call_options_, [&] {
      return work{function_, std::move(chunk)};
    });
  }

  /// Unordered, what had begun comes before what was cancelled.
  piece take_next() {
    for (;;) {
      auto at = window_.begin();
      if (ordered_) {
        if (!at->answer.wait_until(deadline_)) throw_map_timeout(who_, unread_);
      } else {
        const future<batch> next = next_completed();
        while (at->answer != next) ++at;
      }
      piece found = std::move(*at);
      window_.erase(at);
      if (ordered_ || window_.empty() || !found.answer.cancelled()) return found;
      unread_ -= found.elements;
      skipped_ = std::move(found.answer);
    }
  }

  future<batch> next_completed() {
    try {
      return *completed_.next();
    } catch (const timeout_error&) {
      throw_map_timeout(who_, unread_);
    }
  }

  void cancel_rest() noexcept {
    over_ = true;
    for (const piece& p : window_) p.answer.cancel();
  }

  /// Who is told of one exception knows that the map has failed.
  void observe_rest() noexcept {
    for (const piece& p : window_) access::state_of(p.answer).mark_observed();
  }

  void end() noexcept {
    cancel_rest();
    if (detached_) return;
    try {
      for (const piece& p : window_) p.answer.wait();
    } catch (const broken_executor&) {
      return;  // in a child of fork(): the calls are the parent's, and so is what they refer to
    } catch (...) {
      std::terminate();  // here, where it says what was thrown
    }
  }

  const char* const who_;  // "map": what the user has called
  executor& where_;
  const std::size_t size_;
  const std::size_t chunk_;
  const bool ordered_;
  bool detached_;
  bool over_ = false;  // nothing more is yielded
  const submit_options call_options_;
  const time_point deadline_;
  std::shared_ptr<const Function> function_;
  std::tuple<Inputs...> inputs_;
  std::tuple<decltype(std::declval<Inputs&>().begin())...> positions_;
  std::size_t unread_ = 0;  // elements submitted and not yet yielded
  std::deque<piece> window_;
  future<batch> skipped_;                // a cancelled one
  as_completed_range<batch> completed_;  // of the window, if results need not be in order
  batch current_{};
};

// --- start ---

template <typename R, typename Function, typename... Inputs>
map_results<R> start_indexed_map(executor& where, const map_options& options, time_point deadline,
                                 unsigned workers, Function function, Inputs... inputs) {
  using work = indexed_work<R, Function, Inputs...>;
  std::size_t elements = static_cast<std::size_t>(-1);
  ((elements = std::min(elements, static_cast<std::size_t>(std::ranges::size(inputs)))), ...);
  auto shared = std::make_shared<work>(
      map_schedule::settings{"map", elements, options.chunk_size, workers, options.ordered,
                             options.caller_runs, deadline, options.call},
      std::move(function), std::tuple<Inputs...>{std::move(inputs)...});
  auto source = std::make_unique<indexed_source<R, work>>(shared, options.detach);
  map_schedule::start(shared, where);  // if it throws, the source abandons what it has started
  return map_results<R>{std::move(source)};
}

template <typename R, typename Function, typename... Inputs>
map_results<R> start_windowed_map(executor& where, const map_options& options, time_point deadline,
                                  Function function, Inputs... inputs) {
  using source = windowed_source<R, local_batch_call, std::tuple<carried_element<Inputs>...>,
                                 Function, Inputs...>;
  const std::size_t chunk = std::max<std::size_t>(options.chunk_size, 1);
  return map_results<R>{std::make_unique<source>("map", where, options, *options.buffer_size, chunk,
                                                 deadline, std::move(function),
                                                 std::tuple<Inputs...>{std::move(inputs)...})};
}

/// Does not compile, and says so, if map cannot call it.
template <typename Function, typename... Ranges>
constexpr bool can_map() {
  static_assert(std::is_invocable_v<const Function&,
                                    element_of<decltype(make_input(std::declval<Ranges>()))>...>,
                "cadre: map cannot call the callable (as const) with the elements of the ranges");
  return std::is_invocable_v<const Function&,
                             element_of<decltype(make_input(std::declval<Ranges>()))>...>;
}

template <typename Executor, typename Function, std::ranges::input_range... Ranges>
auto start_map(Executor& where, const map_options& options, Function&& function,
               Ranges&&... ranges) {
  using plain = std::decay_t<Function>;
  if constexpr (can_map<plain, Ranges...>()) {
    using result = map_result<plain, decltype(make_input(std::declval<Ranges>()))...>;
    static_assert(is_result<result>, "cadre: the results of map must be movable");
    if (is_empty_callable(function)) throw_empty_callable("map");
    if (options.buffer_size == 0) throw_bad_buffer_size();
    if (options.buffer_size && options.caller_runs) throw_bad_caller_runs();
    refuse_limits("map", options.call);
    time_point deadline = deadline_after(options.timeout);
    if (options.buffer_size) {
      return start_windowed_map<result, plain>(where, options, deadline,
                                               std::forward<Function>(function),
                                               make_input(std::forward<Ranges>(ranges))...);
    }
    // All chunks are submitted now.
    deadline = std::min(deadline, deadline_after(options.call.expires_in));
    return start_indexed_map<result, plain>(where, options, deadline, where.max_workers(),
                                            std::forward<Function>(function),
                                            make_indexed_input(std::forward<Ranges>(ranges))...);
  }
}

}  // namespace cadre::detail
