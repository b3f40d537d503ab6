// SPDX-License-Identifier: MIT
// Waiting for many futures: wait, as_completed, when_all, when_any.
//
//     auto [done, not_done] = cadre::wait(futures, {.timeout = 1s});
//     for (auto& f : cadre::as_completed(futures, 10s)) use(std::move(f).get());
//     cadre::when_all(a, b).then([](const auto& both) { use(std::get<0>(both).get()); });
//
// The futures may come from different executors and promises. A range that is an lvalue keeps its
// handles; from an rvalue they are moved. Cancelled futures are done.
//
// Threads    Each call stands for itself; an as_completed object belongs to one thread.
// Ordering   As get(): what a call wrote is visible once its future was reported as done.
// Waiting    On a worker, an untimed wait for all runs pending calls of its own pool inline, as
//            get() does. The others never do, since their caller may act between completions; they
//            block, and the pool may start a replacement worker.
// Errors     invalid_state_error for an empty future; deadlock_error as get().
// Cost       O(n) to begin, one wake-up in all for wait, O(1) for each result of as_completed.
// Source     Python's concurrent.futures.wait and as_completed, asyncio.gather.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/completion_set.hpp>
#include <cadre/future.hpp>

#include <chrono>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <tuple>
#include <utility>
#include <vector>

namespace cadre {

/// What ends a wait(), besides its timeout.
enum class return_when {
  all_completed,    ///< every future is done
  first_completed,  ///< one is done, cancelled ones included
  first_exception,  ///< one threw (a cancelled one did not); otherwise as all_completed
};

struct wait_options {
  std::optional<std::chrono::nanoseconds> timeout = {};  ///< none: no limit; <= 0: only looks
  cadre::return_when return_when = cadre::return_when::all_completed;
};

/// The futures of a wait(), each once, in the order given.
template <typename T>
struct wait_result {
  std::vector<future<T>> done;
  std::vector<future<T>> not_done;
};

namespace detail {

struct next_access;

template <typename Range>
concept future_range =
    std::ranges::input_range<Range> && is_future<std::ranges::range_value_t<Range>>;

template <typename Range>
using future_of = std::ranges::range_value_t<Range>;

/// The handles of a range: moved if it is an rvalue container, else copied.
template <future_range Range>
std::vector<future_of<Range>> collect(Range&& range) {
  std::vector<future_of<Range>> futures;
  if constexpr (std::ranges::sized_range<Range>) futures.reserve(std::ranges::size(range));
  for (auto&& f : range) {
    if constexpr (!std::is_lvalue_reference_v<Range> && !std::ranges::borrowed_range<Range>) {
      futures.push_back(std::move(f));
    } else {
      futures.push_back(f);
    }
  }
  return futures;
}

template <typename T>
std::vector<state_base*> states_of(const std::vector<future<T>>& futures) {
  std::vector<state_base*> states;
  states.reserve(futures.size());
  for (const auto& f : futures) states.push_back(&access::state_of(f));
  return states;
}

/// Drops the handles whose state came before.
template <typename T>
void drop_duplicates(std::vector<future<T>>& futures) {
  const std::vector<bool> first = first_occurrences(states_of(futures));
  std::size_t kept = 0;
  for (std::size_t i = 0; i < futures.size(); ++i) {
    if (first[i] && i != kept) futures[kept] = std::move(futures[i]);
    if (first[i]) ++kept;
  }
  futures.resize(kept);
}

enum class wait_for_which { all, first, first_error };
CADRE_API void wait_for_states(const std::vector<state_base*>& states, wait_for_which which,
                               time_point deadline);

}  // namespace detail

/// Blocks until what `options.return_when` says, or the timeout. Never throws for a timeout: it
/// returns how the futures stand. Duplicates count once.
template <detail::future_range Range>
auto wait(Range&& futures, wait_options options = {}) {
  const auto deadline = options.timeout ? detail::deadline_after(*options.timeout) : detail::never;
  auto all = detail::collect(std::forward<Range>(futures));
  detail::drop_duplicates(all);
  detail::wait_for_states(detail::states_of(all),
                          static_cast<detail::wait_for_which>(options.return_when), deadline);
  wait_result<typename detail::future_of<Range>::value_type> result;
  for (auto& f : all) (f.done() ? result.done : result.not_done).push_back(std::move(f));
  return result;
}

/// The futures of one as_completed() as they become done: an input range, and a set one can add to
/// while iterating.
template <typename T>
class as_completed_range {
 public:
  class iterator {
   public:
    using value_type = future<T>;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;

    explicit iterator(as_completed_range& range) noexcept : range_{&range} {}
    future<T>& operator*() const noexcept { return range_->current_; }
    future<T>* operator->() const noexcept { return &range_->current_; }
    iterator& operator++() {
      range_->advance();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const noexcept { return range_->ended_; }

   private:
    as_completed_range* range_;
  };

  as_completed_range(std::vector<future<T>> futures, detail::time_point deadline)
      : deadline_{deadline} {
    detail::drop_duplicates(futures);
    for (const auto& f : futures) add(f);
  }

  /// One more future to report; also from within the loop. One that is in the set already is
  /// reported twice.
  void add(const future<T>& f) { set_.add(detail::access::state_of(f)); }

  /// Futures not reported yet.
  std::size_t remaining() const noexcept { return set_.remaining(); }

  /// Blocks until the next one is done; an empty optional when none is left. Throws timeout_error,
  /// saying how many of how many are unfinished; then the rest can still be asked for.
  std::optional<future<T>> next() {
    detail::state_base* state = set_.next(deadline_);
    if (state == nullptr) return std::nullopt;
    using ref = detail::ref<detail::state<T>>;
    return detail::access::make(ref{static_cast<detail::state<T>*>(state), typename ref::adopt{}});
  }

  iterator begin() {
    advance();
    return iterator{*this};
  }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  friend struct detail::next_access;

  void advance() {
    current_ = {};  // the set keeps no reference to what it reported
    auto f = next();
    ended_ = !f;
    if (f) current_ = *std::move(f);
  }

  detail::completion_set set_;
  detail::time_point deadline_;
  future<T> current_;
  bool ended_ = false;
};

/// The futures in the order in which they become done, each once; those done already come first.
template <detail::future_range Range>
auto as_completed(Range&& futures) {
  return as_completed_range<typename detail::future_of<Range>::value_type>{
      detail::collect(std::forward<Range>(futures)), detail::never};
}
/// As above; iteration throws timeout_error once `timeout`, which starts now, is over.
template <detail::future_range Range, typename Rep, typename Period>
auto as_completed(Range&& futures, std::chrono::duration<Rep, Period> timeout) {
  return as_completed_range<typename detail::future_of<Range>::value_type>{
      detail::collect(std::forward<Range>(futures)), detail::deadline_after(timeout)};
}

/// Which future of a when_any() was done first, and all of them.
template <typename Sequence>
struct when_any_result {
  std::size_t index;
  Sequence futures;
};

namespace detail {

/// The state of when_all and when_any: done when `needed` of its inputs are.
template <typename Result, typename Sequence>
class gather_state final : public state<Result>, private gathering {
 public:
  gather_state(Sequence futures, std::vector<state_base*> inputs, std::size_t needed)
      : state<Result>{1},
        gathering{*this, std::move(inputs), needed},
        futures_{std::move(futures)} {}

  using gathering::start;

  void for_each_awaited(void (*visit)(state_base&, void*), void* context) override {
    // when_any may be done without any given one of them.
    if (std::is_same_v<Result, Sequence>) this->visit_inputs(visit, context);
  }

 private:
  void complete(std::size_t first) noexcept override {
    if (!this->try_start()) return;
    this->finish(this->fill([&]() -> Result {
      if constexpr (std::is_same_v<Result, Sequence>) {
        static_cast<void>(first);
        return futures_;
      } else {
        return Result{first, futures_};
      }
    }));
  }

  Sequence futures_;
};

template <typename Result, typename Sequence>
future<Result> gather(Sequence futures, std::vector<state_base*> inputs, bool all) {
  const std::size_t needed = all ? inputs.size() : (inputs.empty() ? 0 : 1);
  auto* gathered =
      new gather_state<Result, Sequence>{std::move(futures), std::move(inputs), needed};
  using ref = detail::ref<state<Result>>;
  auto result = access::make(ref{gathered, typename ref::adopt{}});
  gathered->start();
  return result;
}

}  // namespace detail

/// A future of the futures, finished when all of them are done, however they ended. Cancelling it
/// cancels none of them.
template <detail::future_range Range>
auto when_all(Range&& futures) {
  auto all = detail::collect(std::forward<Range>(futures));
  auto inputs = detail::states_of(all);
  return detail::gather<decltype(all)>(std::move(all), std::move(inputs), true);
}
template <typename... Ts>
auto when_all(future<Ts>... futures) {
  std::vector<detail::state_base*> inputs{&detail::access::state_of(futures)...};
  using all = std::tuple<future<Ts>...>;
  return detail::gather<all>(all{std::move(futures)...}, std::move(inputs), true);
}

/// A future of {index of the first that was done, the futures}. Of none, it is never done early: the
/// result of an empty range has index 0 and no futures.
template <detail::future_range Range>
auto when_any(Range&& futures) {
  auto all = detail::collect(std::forward<Range>(futures));
  auto inputs = detail::states_of(all);
  return detail::gather<when_any_result<decltype(all)>>(std::move(all), std::move(inputs), false);
}
template <typename... Ts>
auto when_any(future<Ts>... futures) {
  std::vector<detail::state_base*> inputs{&detail::access::state_of(futures)...};
  using all = std::tuple<future<Ts>...>;
  return detail::gather<when_any_result<all>>(all{std::move(futures)...}, std::move(inputs), false);
}

}  // namespace cadre
