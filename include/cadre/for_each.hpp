// SPDX-License-Identifier: MIT
// for_each: a loop without results, on the workers and, where they are threads, on the caller.
//
//     pool.for_each(rows, [&](int row) { shade(image, row); });   // shade(image, 0) ... (image, rows - 1)
//     pool.for_each(particles, [](particle& p) { p.move(); });
//     pool.for_each({.call = {.stop_token = stop}}, files, index);
//
// Input      A count n stands for 0 ... n - 1, of its type. A range stays where it is: the callable gets
//            references to its elements, and may change them (not those of a std::vector<bool>, which share
//            bytes). Elements that cannot be reached by their index are listed first. In worker processes,
//            callable and elements are encoded as for submit(), and what is done to these copies is lost,
//            and what is returned.
// Blocking   Returns when all elements are done. The caller runs elements, too, in threads without the pool's
//            initializer and this_worker; with caller_runs = false all elements run on workers. To other
//            processes it makes no difference. A caller_runs loop takes a full queue that rejects for no
//            workers, but waits for room in one that blocks.
// Chunks     As map's: they begin small and grow to about 50 us of work, as measured. Of more than 64
//            elements a worker the caller runs the first ones alone, for some 10 us, before it calls in
//            others: a short loop calls in nobody. Elements that wait for each other need caller_runs =
//            false, chunk_size = 1 and as many workers. To worker processes, eight chunks a worker are under
//            way at once, of up to 4096 elements unless chunk_size says otherwise.
// Errors     The first exception of an element that is seen ends the loop: chunks that have not begun are not
//            run, those that have are awaited, and then it is thrown; others are dropped. timeout_error
//            likewise, but not before an element that the caller itself runs, nor in the middle of a chunk.
//            What submit() throws: shutdown_error, broken_executor, queue_full; none of these if the caller
//            has run all before. std::invalid_argument for a negative count, an empty callable, and limits
//            that only worker processes can keep.
// Calls      `call` is how each chunk is submitted, see map.hpp. When its stop_token is stopped, no chunk
//            begins any more, and if some have not begun, cancelled_error is thrown. What runs is asked to stop,
//            by this_worker::stop_token(); in a worker process it is killed after call.grace, and then
//            worker_died is thrown.
// Threads    The callable is called by several threads at once, as const.
// Cost       Some 0.5 us, and 0.2 us per chunk. What was sent to workers and not needed stays in the queue
//            until a worker comes to it.
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
concept loop_count = std::integral<T> && !std::same_as<std::remove_cv_t<T>, bool> &&
                     sizeof(T) <= sizeof(std::size_t);

template <typename T>
concept loop_input = loop_count<std::remove_reference_t<T>> || std::ranges::input_range<T>;

/// What one element is, and what it is to the callable.
template <typename Input>
struct loop_traits {
  using value = std::remove_cvref_t<Input>;
  using element = value;
};
template <std::ranges::input_range Input>
struct loop_traits<Input> {
  using value = std::ranges::range_value_t<Input>;
  using element = std::ranges::range_reference_t<Input>;
};

}  // namespace detail
}  // namespace cadre
