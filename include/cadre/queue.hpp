// SPDX-License-Identifier: MIT
// queue<T>: a first-in, first-out queue between threads, bounded or not.
//
//     cadre::queue<std::string> lines{1000};              // put() blocks while 1000 are in it
//     lines.put("one");  lines.shutdown();                // another thread
//     for (std::string& line : lines) parse(line);        // ends when it is shut down and empty
//
// The others are lifo_queue.hpp and priority_queue.hpp; all have the members of basic_queue.
//
// Threads    Any thread may call any member at any time, calls on a pool included: while a worker
//            is blocked here, the pool may start a replacement. Only the constructor and the
//            destructor need the queue to oneself, but for threads that are blocked in it: the
//            destructor shuts down immediately, and waits until they have left with shutdown_error.
// Ordering   What was sequenced before put() happens before the return of the get() of that
//            element; what was before task_done(), before the return of join().
// Errors     shutdown_error. If to make, copy or compare an element throws, nothing has happened; if
//            to move it out of get() throws, it is lost.
// Cost       A short lock; a system call only to wake a sleeper. Who waits sleeps; if the last wait
//            took less than 40 us, it first spins, for up to 20 us. Elements that are not trivially
//            copyable, or are over 64 bytes, take a block each.
// Source     Python's queue, with the shutdown() of Python 3.13. Its exceptions Full and Empty are
//            false and an empty optional here.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/queue_core.hpp>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>
#include <vector>

namespace cadre {

struct queue_shutdown_options {
  bool immediate = false;  ///< drop the elements; each counts as done
};

/// The members of all queues. `Order` keeps the slots, in two ends: push(slot) and pop_back(to) are
/// called under the lock of the back, pop_front(to) under that of the front. A pop is false if there
/// is nothing. `Order::contents` is what swap() and drop_all() take the slots away with.
template <typename T, typename Order>
class basic_queue : private detail::queue_core {
  static_assert(std::movable<T>, "cadre: the elements of a queue must be movable objects");
  using slot = detail::queue_slot<T>;

 public:
  using value_type = T;

  /// `max_size` 0: no bound.
  explicit basic_queue(std::size_t max_size = 0) : queue_core{max_size} {}
  explicit basic_queue(std::size_t max_size, Order order)
      : queue_core{max_size}, elements_{std::move(order)} {}
  ~basic_queue() override {
    typename Order::contents garbage;
    close_and_wait(&garbage);
    garbage.drop_all();
  }

  /// Blocks while the queue is full. Throws shutdown_error.
  void put(T value) { offer(value, detail::never, {}); }
  /// The same until `stop` is requested: then false, and `value` is as it was.
  bool put(T&& value, const std::stop_token& stop) { return offer(value, detail::never, stop); }
  bool put(const T& value, const std::stop_token& stop) { return put(T(value), stop); }

  /// False, and `value` is as it was, if the queue is full. Does not block. Throws shutdown_error.
  bool try_put(T&& value) { return offer(value, detail::time_point::min(), {}); }
  bool try_put(const T& value) { return try_put(T(value)); }

  /// False, and `value` is as it was, if the queue is full until the limit, or until `stop` is
  /// requested. A limit <= 0 only looks. Throws shutdown_error.
  template <typename Value, typename Rep, typename Period>
    requires std::constructible_from<T, Value>
  bool put_for(Value&& value, std::chrono::duration<Rep, Period> limit,
               const std::stop_token& stop = {}) {
    return offer_any(std::forward<Value>(value), detail::deadline_after(limit), stop);
  }
  template <typename Value, typename Clock, typename Duration>
    requires std::constructible_from<T, Value>
  bool put_until(Value&& value, std::chrono::time_point<Clock, Duration> limit,
                 const std::stop_token& stop = {}) {
    return offer_any(std::forward<Value>(value), detail::deadline_at(limit), stop);
  }

  /// Blocks while the queue is empty. Throws shutdown_error once it is shut down and empty.
  T get() { return *take(detail::never, {}); }
  /// The same until `stop` is requested: then none, unless there is an element.
  std::optional<T> get(const std::stop_token& stop) { return take(detail::never, stop); }

  /// None if the queue is empty. Does not block. Throws shutdown_error once it is shut down and empty.
  std::optional<T> try_get() { return take(detail::time_point::min(), {}); }

  /// None if the queue is empty until the limit, or until `stop` is requested. A limit <= 0 only
  /// looks. Throws shutdown_error once it is shut down and empty.
  template <typename Rep, typename Period>
  std::optional<T> get_for(std::chrono::duration<Rep, Period> limit,
                           const std::stop_token& stop = {}) {
    return take(detail::deadline_after(limit), stop);
  }
  template <typename Clock, typename Duration>
  std::optional<T> get_until(std::chrono::time_point<Clock, Duration> limit,
                             const std::stop_token& stop = {}) {
    return take(detail::deadline_at(limit), stop);
  }

  class iterator {
   public:
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;

    iterator(basic_queue& queue, std::stop_token stop) : queue_{&queue}, stop_{std::move(stop)} {
      ++*this;
    }
    T& operator*() const noexcept { return *current_; }
    T* operator->() const noexcept { return &*current_; }
    iterator& operator++() {
      current_.reset();
      outcome ignored{};
      current_ = queue_->take(detail::never, stop_, ignored);
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const noexcept { return !current_; }

   private:
    basic_queue* queue_;
    std::stop_token stop_;
    mutable std::optional<T> current_;
  };

  /// Gets one element after the other until the queue is shut down and empty: an input range. Several
  /// threads may iterate; each element goes to one of them.
  iterator begin() { return iterator{*this, {}}; }
  std::default_sentinel_t end() const noexcept { return {}; }

  class stoppable_range {
   public:
    stoppable_range(basic_queue& queue, std::stop_token stop)
        : queue_{&queue}, stop_{std::move(stop)} {}
    iterator begin() { return iterator{*queue_, stop_}; }
    std::default_sentinel_t end() const noexcept { return {}; }

   private:
    basic_queue* queue_;
    std::stop_token stop_;
  };
  /// The same range, which also ends when it would have to wait and `stop` is requested.
  stoppable_range until(std::stop_token stop) { return {*this, std::move(stop)}; }

  /// An element that was got has been dealt with. Throws invalid_state_error if all have been.
  void task_done() { count_done(); }

  /// Blocks until there was a task_done() for each element put. Throws shutdown_error if the queue is
  /// destroyed meanwhile.
  void join() { check_joined(join_until(detail::never, {})); }
  /// The same for a time, or until `stop` is requested; false if elements are unfinished then.
  template <typename Rep, typename Period>
  bool join_for(std::chrono::duration<Rep, Period> limit, const std::stop_token& stop = {}) {
    return check_joined(join_until(detail::deadline_after(limit), stop));
  }

  /// From now on put() throws shutdown_error, and so does get() once the queue is empty. Wakes all
  /// who wait for room, or for elements that will not come. Idempotent.
  void shutdown(const queue_shutdown_options& options = {}) {
    typename Order::contents garbage;
    close(options.immediate ? &garbage : nullptr);
    garbage.drop_all();
  }
  bool is_shutdown() const noexcept { return is_closed(); }

  // What the next four say may be over before the caller reads it, if other threads use the queue.

  std::size_t size() const noexcept { return current_size(); }
  bool empty() const noexcept { return size() == 0; }
  bool full() const noexcept { return max_size() != 0 && size() >= max_size(); }
  /// How many elements were put and not yet accounted for by task_done().
  std::size_t unfinished_tasks() const noexcept { return current_unfinished(); }

  std::size_t max_size() const noexcept { return current_max_size(); }
  /// A smaller bound drops nothing: put() blocks until there is room again. 0: no bound.
  void set_max_size(std::size_t max_size) noexcept { change_max_size(max_size); }

 private:
  using box = detail::queue_box<T>;

  template <typename Value>
  bool offer_any(Value&& value, detail::time_point deadline, const std::stop_token& stop) {
    if constexpr (std::is_same_v<Value, T>) {
      return offer(value, deadline, stop);
    } else {
      T made(std::forward<Value>(value));
      return offer(made, deadline, stop);
    }
  }

  bool offer(T& value, detail::time_point deadline, const std::stop_token& stop) {
    if constexpr (detail::is_queued_in_place<T>) {
      return check_put(put_slot(std::addressof(value), deadline, stop));
    } else {
      std::unique_ptr<box> made{new box{std::move(value)}};
      box* const address = made.get();
      outcome result = outcome::in_vain;
      try {
        result = put_slot(&address, deadline, stop);
      } catch (...) {
        value = std::move(made->value);
        throw;
      }
      if (result == outcome::done) {
        static_cast<void>(made.release());
      } else {
        value = std::move(made->value);
      }
      return check_put(result);
    }
  }

  static bool check_put(outcome result) { return check("put", result); }
  static bool check_joined(outcome result) { return check("join", result); }
  static bool check(const char* who, outcome result) {
    if (result == outcome::shut_down) throw_shut_down(who);
    return result == outcome::done;
  }

  std::optional<T> take(detail::time_point deadline, const std::stop_token& stop) {
    outcome result = outcome::in_vain;
    std::optional<T> element = take(deadline, stop, result);
    if (result == outcome::shut_down) throw_shut_down("get");
    return element;
  }

  std::optional<T> take(detail::time_point deadline, const std::stop_token& stop, outcome& result) {
    union {
      slot taken;
    };
    result = get_slot(&taken, deadline, stop);
    if (result != outcome::done) return std::nullopt;
    if constexpr (detail::is_queued_in_place<T>) {
      return taken;
    } else {
      const std::unique_ptr<box> owned{taken};
      return std::move(owned->value);
    }
  }

  void push_slot(const void* from) override { elements_.push(*static_cast<const slot*>(from)); }
  bool pop_front_slot(void* to) override { return elements_.pop_front(to); }
  bool pop_back_slot(void* to) override { return elements_.pop_back(to); }
  void swap_slots(void* garbage) noexcept override {
    elements_.swap(*static_cast<typename Order::contents*>(garbage));
  }

  Order elements_;
};

namespace detail {

/// Two containers, swapped when the front one is used up; see src/queue/queue_core.cpp.
template <typename T>
class fifo_order {
 public:
  using slot = queue_slot<T>;
  using contents = fifo_order;

  void push(const slot& element) { back_.push_back(element); }
  bool pop_front(void* to) {
    if (next_ == front_.size()) return false;
    ::new (to) slot(front_[next_++]);
    return true;
  }
  bool pop_back(void* to) {
    if (back_.empty()) return false;
    front_.clear();
    if (front_.capacity() > kept) front_ = {};
    front_.swap(back_);
    next_ = 0;
    return pop_front(to);
  }

  void swap(fifo_order& other) noexcept {
    back_.swap(other.back_);
    front_.swap(other.front_);
    std::swap(next_, other.next_);
  }
  void drop_all() noexcept {
    front_.erase(front_.begin(), front_.begin() + static_cast<std::ptrdiff_t>(next_));
    delete_slots<T>(front_);
    delete_slots<T>(back_);
  }

 private:
  // More spares a fast queue allocations, less gives back the memory of a long queue.
  static constexpr std::size_t kept = 4096;

  alignas(block_alignment) std::vector<slot> back_;
  alignas(block_alignment) std::vector<slot> front_;
  std::size_t next_ = 0;  // of front_, the first that is still in the queue
};

}  // namespace detail

template <typename T>
using queue = basic_queue<T, detail::fifo_order<T>>;

}  // namespace cadre
