// SPDX-License-Identifier: MIT
// priority_queue<T>: a queue that gives back the smallest element first.
//
//     cadre::priority_queue<std::pair<int, std::string>> work;   // members: basic_queue, see queue.hpp
//     work.put({2, "sweep"});  work.put({1, "mop"});
//     work.get();                                                // {1, "mop"}
//
// Order      As Python's, and unlike std::priority_queue: by `Compare`, the least comes first. Equal
//            ones come in no particular order. The comparison runs with the queue locked: it must
//            not use the queue, and should be quick.
// Errors     What a comparison throws leaves put() or get(), and nothing has happened.
// Cost       O(log n) comparisons and copies of slots.
// Threads, Ordering   as queue.hpp.
// Source     Python's queue.PriorityQueue.
#pragma once

#include <cadre/detail/queue_core.hpp>
#include <cadre/queue.hpp>

#include <cstddef>
#include <functional>
#include <new>
#include <utility>

namespace cadre {

namespace detail {

/// A binary heap that finds the way before it moves anything: a comparison may throw.
template <typename T, typename Compare>
class priority_order : public back_only<T> {
 public:
  using slot = queue_slot<T>;

  priority_order() = default;
  explicit priority_order(Compare less) : less_{std::move(less)} {}

  void push(const slot& element) {
    std::size_t hole = slots_.size();
    while (hole != 0 && precedes(element, slots_[(hole - 1) / 2])) hole = (hole - 1) / 2;
    slots_.push_back(element);
    for (std::size_t i = slots_.size() - 1; i != hole; i = (i - 1) / 2) {
      slots_[i] = slots_[(i - 1) / 2];
    }
    slots_[hole] = element;
  }

  bool pop_back(void* to) {
    if (slots_.empty()) return false;
    const slot last = slots_.back();
    const std::size_t count = slots_.size() - 1;
    // The way down from the root: each bit below the leading one is left or right.
    std::size_t hole = 0;
    while (2 * hole + 1 < count) {
      std::size_t child = 2 * hole + 1;
      if (child + 1 < count && precedes(slots_[child + 1], slots_[child])) ++child;
      if (!precedes(slots_[child], last)) break;
      hole = child;
    }
    ::new (to) slot(slots_.front());
    // From the hole back up: each ancestor is overwritten by its child on the way.
    slot carried = last;
    for (std::size_t i = hole;; i = (i - 1) / 2) {
      std::swap(carried, slots_[i]);
      if (i == 0) break;
    }
    slots_.pop_back();
    return true;
  }

 private:
  using back_only<T>::slots_;

  bool precedes(const slot& a, const slot& b) { return less_(slot_value<T>(a), slot_value<T>(b)); }

  [[no_unique_address]] Compare less_;
};

}  // namespace detail

template <typename T, typename Compare = std::less<T>>
using priority_queue = basic_queue<T, detail::priority_order<T, Compare>>;

}  // namespace cadre
