// SPDX-License-Identifier: MIT
// map: one call for each element of a range, and the range of the results.
//
//     for (double y : pool.map(simulate, seeds)) total += y;
//     for (auto& page : pool.map({.buffer_size = 8, .ordered = false}, fetch, urls)) store(page);
//
// Input      Views and spans are referred to, as everywhere; containers are copied, or moved in if
//            they are rvalues; elements are passed as rvalues where map owns them. Of several
//            ranges the shortest ends it.
// Chunks     Several elements make one call on a worker. Automatic chunks begin small and grow to
//            about 50 us of work, as measured.
// Eager      Without buffer_size all input is taken and all work begins at the call. With it, never
//            more than buffer_size elements are submitted and not yet yielded; the executor must
//            then outlive the results.
// Errors     An element's exception surfaces when its turn comes, and ends the iteration; timeout_error
//            likewise. Where the others are to go on, keep_errors(f) (outcome.hpp) yields what elements
//            throw, and submit_bulk() gives a future for each. Exceptions behind the first are dropped.
//            std::invalid_argument for a buffer_size of 0.
// End        After an exception, a timeout, or when the results are destroyed, what has not begun
//            is cancelled. The destructor then blocks until what runs is done, so nothing uses what
//            the callable and the views refer to any more, however the loop was left; but for
//            detach(). It terminates the program if it would wait for ever (an element waits for the
//            call that leaves the loop, or drops the results itself), or has no memory to wait with.
// Input      With buffer_size the loop reads elements until so many are under way, and then waits for a
//            result: an input that blocks, or throws, holds up those that are ready.
// Waiting    On a worker of the same pool, the elements that nobody has begun are run inline. So they
//            are in any loop with caller_runs, for which one worker fewer is called in: there a
//            timeout cannot end before an element that the loop itself runs. Not with buffer_size,
//            nor for other processes (std::invalid_argument).
// Calls      `call` is how each chunk is submitted: with a name, a priority, and in worker processes a time
//            limit, retries and a memory limit of its own. Automatic chunks change their size: with limits,
//            give a chunk_size, of 1 if one bad element is to cost no other, since of a chunk whose worker
//            dies or runs out of time no result is left. When its stop_token is stopped, what has not begun
//            is cancelled, what runs is asked to stop, on threads by this_worker::stop_token(), and the
//            iteration ends with cancelled_error after what had begun; ordered, after what comes before the first that had
//            not. In a worker process, elements that do not end within call.grace are killed: then it ends
//            with worker_died. expires_in counts from the submission of each chunk: without buffer_size, from
//            the call of map.
// Threads    The results belong to one thread; the callable is called by several at once, as const.
// Source     Python's Executor.map.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/state.hpp>
#include <cadre/submit_options.hpp>

#include <chrono>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

namespace cadre {

struct map_options {
  std::size_t chunk_size = 0;                            ///< elements per call; 0: automatic
  std::optional<std::size_t> buffer_size = {};           ///< > 0; none: no limit
  std::optional<std::chrono::nanoseconds> timeout = {};  ///< for all of it, from the call on
  bool ordered = true;                                   ///< false: results as they become ready
  bool caller_runs = false;                              ///< true: the loop runs elements, too
  bool detach = false;                                   ///< true: see map_results::detach()
  submit_options call = {};                              ///< for each call that runs a chunk
};

namespace detail {

/// Where a result of map lies until it is yielded.
template <typename R>
using map_value = std::conditional_t<
    std::is_void_v<R>, nothing,
    std::conditional_t<std::is_lvalue_reference_v<R>, std::add_pointer_t<R>, std::decay_t<R>>>;

/// Trivial values lie bare; others in an optional, so that each can be dropped when its turn is
/// over. So do those of type bool, since a vector of bare ones has no elements to refer to.
template <typename R>
inline constexpr bool map_bare =
    !std::is_same_v<map_value<R>, bool> && std::is_trivially_copyable_v<map_value<R>> &&
    std::is_trivially_default_constructible_v<map_value<R>>;
template <typename R>
using map_slot = std::conditional_t<map_bare<R>, map_value<R>, std::optional<map_value<R>>>;

/// Results that lie side by side and are ready.
template <typename R>
struct ready_slots {
  map_slot<R>* first = nullptr;
  map_slot<R>* last = nullptr;
};

template <typename R>
class map_source {
 public:
  virtual ~map_source() = default;
  /// Blocks for the next results; empty at the end. Throws what ends the iteration.
  virtual ready_slots<R> next() = 0;
  /// The destructor is not to wait.
  virtual void detach() noexcept = 0;
};

}  // namespace detail

/// The results of map(): an input range of R&, of R for references, of an empty object for void. Its
/// destructor blocks, see above.
template <typename R>
class [[nodiscard("the results of map: dropping them cancels the calls")]] map_results {
 public:
  using value_type = detail::map_value<R>;

  class iterator {
   public:
    using value_type = detail::map_value<R>;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;

    explicit iterator(detail::map_source<R>& source) : source_{&source}, ready_{source.next()} {}

    decltype(auto) operator*() const noexcept {
      if constexpr (std::is_lvalue_reference_v<R>) {
        return static_cast<R>(*value());
      } else {
        return static_cast<value_type&>(value());
      }
    }
    iterator& operator++() {
      if constexpr (!detail::map_bare<R>) ready_.first->reset();
      if (++ready_.first == ready_.last) ready_ = refill(*source_);
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const noexcept { return ready_.first == ready_.last; }

   private:
    // Out of line, so that the user's loop can keep what it sums up in registers.
    [[gnu::cold, gnu::noinline]] static detail::ready_slots<R> refill(detail::map_source<R>& from) {
      return from.next();
    }
    value_type& value() const noexcept {
      if constexpr (detail::map_bare<R>) {
        return *ready_.first;
      } else {
        return **ready_.first;
      }
    }

    detail::map_source<R>* source_;
    detail::ready_slots<R> ready_;
  };

  explicit map_results(std::unique_ptr<detail::map_source<R>> source) noexcept
      : source_{std::move(source)} {}

  /// Blocks for the first result. Once only.
  iterator begin() { return iterator{*source_}; }
  std::default_sentinel_t end() const noexcept { return {}; }

  /// Instead of begin(), for plain values and loops that are to be vectorised: blocks for the next
  /// results and returns all that lie side by side. Empty at the end. Throws what ends the
  /// iteration.
  std::span<value_type> next_chunk()
    requires detail::map_bare<R>
  {
    const detail::ready_slots<R> ready = source_->next();
    return {ready.first, ready.last};
  }

  /// Blocks until all elements are done, and drops those results that were not asked for. Throws what ends
  /// the iteration.
  void wait() {
    for (auto left = begin(); left != end(); ++left) {
    }
  }

  /// The destructor will not block. Then whatever the callable and the views refer to must live until the
  /// calls that run are done: until the executor is shut down, if in doubt.
  void detach() noexcept { source_->detach(); }

 private:
  std::unique_ptr<detail::map_source<R>> source_;
};

}  // namespace cadre
