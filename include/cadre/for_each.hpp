// SPDX-License-Identifier: MIT
// for_each: a loop without results, on the workers and, where they are threads, on the caller.
//
//     pool.for_each(rows, [&](int row) { shade(image, row); });   // shade(image, 0) ... (image, rows - 1)
//     pool.for_each(particles, [](particle& p) { p.move(); });
//     pool.for_each({.call = {.stop_token = stop}}, files, index);
//
// Input      A count n stands for 0 ... n - 1, of its type. A range stays where it is: the callable gets
//            references to its elements, and may change them. Elements of a range without random access
//            are listed first. In worker processes, callable and elements are encoded as for submit(),
//            and what is done to copies there is lost.
// Blocking   Returns when all elements are done. The caller runs elements, too, in threads without the pool's
//            initializer and this_worker; a loop that is over before a worker would be awake calls in nobody.
//            With caller_runs = false all elements run on workers; to other processes it makes no difference.
// Chunks     As map's: they begin small and grow to about 50 us of work, as measured. Of more than 64
//            elements a worker, the caller runs the first before it calls in others.
// Errors     The first exception that an element throws ends the loop: elements that have not begun are not
//            run, those that have are awaited, and then it is thrown; others are dropped. timeout_error
//            likewise. std::invalid_argument for a negative count, an empty callable, and limits that only
//            worker processes can keep; shutdown_error as submit(), if a worker is to be called in.
// Calls      `call` is how each chunk is submitted, see map.hpp. When its stop_token is stopped, what runs is
//            asked to stop, by this_worker::stop_token(), and cancelled_error is thrown.
// Threads    The callable is called by several threads at once, as const.
// Cost       Some 0.5 us, and 0.2 us per chunk.
// Source     std::for_each with an execution policy; Python has none.
#pragma once

#include <cadre/submit_options.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <optional>
#include <ranges>
#include <type_traits>

namespace cadre {

struct for_each_options {
  std::size_t chunk_size = 0;                            ///< elements per call; 0: automatic
  std::optional<std::chrono::nanoseconds> timeout = {};  ///< for all of it, from the call on
  bool caller_runs = true;                               ///< false: the caller only waits
  submit_options call = {};                              ///< for each call that runs a chunk
};

namespace detail {

/// What a loop may count with.
template <typename T>
concept loop_count = std::integral<T> && !std::same_as<std::remove_cv_t<T>, bool>;

template <typename T>
concept loop_input = loop_count<std::remove_reference_t<T>> || std::ranges::input_range<T>;

template <typename Input>
struct loop_value_of {
  using type = std::remove_cvref_t<Input>;
};
template <std::ranges::input_range Input>
struct loop_value_of<Input> {
  using type = std::ranges::range_value_t<Input>;
};
/// What one element is.
template <typename Input>
using loop_value = typename loop_value_of<Input>::type;

}  // namespace detail
}  // namespace cadre
