// SPDX-License-Identifier: MIT
// Waiting for many futures: wait, as_completed, when_all, when_any.
//
//     auto [done, not_done] = cadre::wait(futures, {.timeout = 1s});
//     for (auto& f : cadre::as_completed(futures, 10s)) use(f.take());
//     for (auto& [url, f] : cadre::as_completed(pairs)) std::cout << url << f.get();
//     cadre::when_all(a, b).then([](const auto& both) { use(std::get<0>(both).get()); });
//
// The futures may come from different executors and promises. A range that is an lvalue keeps its
// handles, and so does what a view looks at; from a container that is an rvalue they are moved. Cancelled
// futures are done.
//
// Threads    Each call stands for itself; an as_completed object belongs to one thread.
// Ordering   As get(): what a call wrote is visible once its future was reported as done.
// Waiting    On a worker, an untimed wait for all runs pending calls of its own pool inline, as
//            get() does. The others never do, since their caller may act between completions; they
//            block, and the pool may start a replacement worker.
// Errors     invalid_state_error for an empty future; deadlock_error as get().
// Cost       O(n) to begin, one wake-up in all for wait, O(1) for each result of as_completed. While results
//            come faster than one in a millisecond and workers have more to do, as_completed, and a thread that
//            calls get() in a row, may learn of one up to a millisecond late: see the guide to waiting.
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

/// An rvalue that owns what is in it. A view does not, as a rule: its elements may be somebody's lvalues.
template <typename Range>
inline constexpr bool may_be_emptied =
    !std::is_lvalue_reference_v<Range> && !std::ranges::view<std::remove_cvref_t<Range>>;

/// The handles of a range: moved if it is an rvalue container, else copied.
template <future_range Range>
std::vector<future_of<Range>> collect(Range&& range) {
  std::vector<future_of<Range>> futures;
  if constexpr (std::ranges::sized_range<Range>) futures.reserve(std::ranges::size(range));
  for (auto&& f : range) {
    if constexpr (may_be_emptied<Range>) {
      futures.push_back(std::move(f));
    } else {
      futures.push_back(f);
    }
  }
  return futures;
}

/// Pairs of a key and a future.
template <typename Range>
concept keyed_future_range = std::ranges::input_range<Range> &&
                             is_future<typename std::ranges::range_value_t<Range>::second_type>;

template <keyed_future_range Range>
using pair_of =
    std::pair<std::remove_const_t<typename std::ranges::range_value_t<Range>::first_type>,
              typename std::ranges::range_value_t<Range>::second_type>;

/// As collect().
template <keyed_future_range Range>
std::vector<pair_of<Range>> collect_pairs(Range&& range) {
  std::vector<pair_of<Range>> pairs;
  if constexpr (std::ranges::sized_range<Range>) pairs.reserve(std::ranges::size(range));
  for (auto&& [key, f] : range) {
    if constexpr (may_be_emptied<Range>) {
      pairs.emplace_back(std::move(key), std::move(f));
    } else {
      pairs.emplace_back(key, f);
    }
  }
  return pairs;
}

/// A handle that takes over a reference.
template <typename T>
future<T> adopt_state(state_base& from) noexcept {
  using ref = detail::ref<state<T>>;
  return access::make(ref{static_cast<state<T>*>(&from), typename ref::adopt{}});
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
  const auto deadline = detail::deadline_after(options.timeout);
  auto all = detail::collect(std::forward<Range>(futures));
  detail::drop_duplicates(all);
  detail::wait_for_states(detail::states_of(all),
                          static_cast<detail::wait_for_which>(options.return_when), deadline);
  wait_result<typename detail::future_of<Range>::value_type> result;
  for (auto& f : all) (f.done() ? result.done : result.not_done).push_back(std::move(f));
  return result;
}

namespace detail {

/// Of what as_completed() returns.
template <typename Range>
class completion_iterator {
 public:
  using value_type = typename Range::value_type;
  using difference_type = std::ptrdiff_t;
  using iterator_concept = std::input_iterator_tag;

  explicit completion_iterator(Range& range) noexcept : range_{&range} {}
  value_type& operator*() const noexcept { return range_->current(); }
  value_type* operator->() const noexcept { return &range_->current(); }
  completion_iterator& operator++() {
    range_->advance();
    return *this;
  }
  void operator++(int) { ++*this; }
  bool operator==(std::default_sentinel_t) const noexcept { return range_->ended_; }

 private:
  Range* range_;
};

}  // namespace detail

/// The futures of one as_completed() as they become done: an input range, and a set one can add to
/// while iterating.
template <typename T>
class as_completed_range {
 public:
  using value_type = future<T>;
  using iterator = detail::completion_iterator<as_completed_range>;

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
    return detail::adopt_state<T>(*state);
  }

  iterator begin() {
    advance();
    return iterator{*this};
  }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  friend struct detail::next_access;
  friend iterator;

  future<T>& current() noexcept { return current_; }
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

/// As that, of pairs of a key and a future: whatever became of a call, its key says which it was.
template <typename Key, typename T>
class keyed_completed_range {
 public:
  using value_type = std::pair<Key, future<T>>;
  using iterator = detail::completion_iterator<keyed_completed_range>;

  keyed_completed_range(std::vector<value_type> pairs, detail::time_point deadline)
      : deadline_{deadline} {
    for (auto& [key, f] : pairs) add(std::move(key), f);
  }

  /// One more to report; also from within the loop.
  void add(Key key, const future<T>& f) {
    detail::state_base& state = detail::access::state_of(f);
    std::size_t place = keys_.size();
    if (free_.empty()) {
      free_.reserve(place + 1);  // so that next() needs no memory
      keys_.emplace_back(std::move(key));
    } else {
      place = free_.back();
      keys_[place].emplace(std::move(key));
      free_.pop_back();
    }
    set_.add(state, place);
  }

  /// Pairs not reported yet.
  std::size_t remaining() const noexcept { return set_.remaining(); }

  /// As as_completed_range::next().
  std::optional<value_type> next() {
    std::size_t place = 0;
    detail::state_base* state = set_.next(deadline_, &place);
    if (state == nullptr) return std::nullopt;
    future<T> done = detail::adopt_state<T>(*state);
    free_.push_back(place);
    value_type found{*std::move(keys_[place]), std::move(done)};
    keys_[place].reset();
    return found;
  }

  iterator begin() {
    advance();
    return iterator{*this};
  }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  friend iterator;

  value_type& current() noexcept { return *current_; }
  void advance() {
    current_.reset();
    if (auto found = next()) current_.emplace(std::move(found->first), std::move(found->second));
    ended_ = !current_;
  }

  detail::completion_set set_;
  detail::time_point deadline_;
  std::vector<std::optional<Key>> keys_;  // of those not reported
  std::vector<std::size_t> free_;         // places in it
  std::optional<value_type> current_;
  bool ended_ = false;
};

namespace detail {

template <typename Range>
using keyed_completed = keyed_completed_range<typename pair_of<Range>::first_type,
                                              typename pair_of<Range>::second_type::value_type>;

}  // namespace detail

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
/// Of pairs (key, future), in a vector or as the elements of a map: yields such pairs, each once.
template <detail::keyed_future_range Range>
auto as_completed(Range&& pairs) {
  return detail::keyed_completed<Range>{detail::collect_pairs(std::forward<Range>(pairs)),
                                        detail::never};
}
template <detail::keyed_future_range Range, typename Rep, typename Period>
auto as_completed(Range&& pairs, std::chrono::duration<Rep, Period> timeout) {
  return detail::keyed_completed<Range>{detail::collect_pairs(std::forward<Range>(pairs)),
                                        detail::deadline_after(timeout)};
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
    this->finish_in_turn(this->fill([&]() -> Result {
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

template <typename Function>
struct unpacking {
  Function function;

  template <typename... Ts>
  decltype(auto) operator()(const std::tuple<future<Ts>...>& futures) {
    return std::apply(
        [this](const auto&... f) -> decltype(auto) {
          // In braces: one after the other.
          std::tuple<decltype(value_of(f))...> values{value_of(f)...};
          return std::apply(
              [this](auto&... each) -> decltype(auto) {
                return std::apply(std::move(function), std::tuple_cat(std::move(each)...));
              },
              values);
        },
        futures);
  }
  template <typename T>
  decltype(auto) operator()(const std::vector<future<T>>& futures) {
    if constexpr (std::is_void_v<T>) {
      for (const auto& f : futures) f.get();
      return std::move(function)();
    } else {
      std::vector<std::decay_t<T>> values;
      values.reserve(futures.size());
      for (const auto& f : futures) values.push_back(f.get());
      return std::move(function)(std::move(values));
    }
  }

 private:
  template <typename T>
  static auto value_of(const future<T>& f) {
    if constexpr (std::is_void_v<T>) {
      f.get();
      return std::tuple<>{};
    } else {
      return std::tuple<decltype(f.get())>{f.get()};
    }
  }
};

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

/// For then() of a when_all(): a function of the values, which is called if all of them are there. Else the
/// new future has the exception of the first one that has none.
///
///     when_all(width, height).then(unpack([](int w, int h) { return w * h; }));
///     when_all(parts).then(unpack([](const std::vector<int>& all) { return sum(all); }));
///
/// Of a tuple of futures, the function takes the values, as const, but those of futures of void; of a
/// vector, it takes the vector of their copies, or nothing if they are of void.
template <typename Function>
auto unpack(Function&& function) {
  return detail::unpacking<std::decay_t<Function>>{std::forward<Function>(function)};
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
