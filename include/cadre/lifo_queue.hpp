// SPDX-License-Identifier: MIT
// lifo_queue<T>: a queue that gives back first what was put last.
//
//     cadre::lifo_queue<cadre::stack_frame> open;    // the members of basic_queue, see queue.hpp
//
// Threads, Ordering, Errors, Cost   as queue.hpp.
// Source     Python's queue.LifoQueue.
#pragma once

#include <cadre/detail/queue_core.hpp>
#include <cadre/queue.hpp>

#include <new>

namespace cadre {

namespace detail {

template <typename T>
class lifo_order : public back_only<T> {
 public:
  using slot = queue_slot<T>;

  void push(const slot& element) { slots_.push_back(element); }
  bool pop_back(void* to) {
    if (slots_.empty()) return false;
    ::new (to) slot(slots_.back());
    slots_.pop_back();
    return true;
  }

 private:
  using back_only<T>::slots_;
};

}  // namespace detail

template <typename T>
using lifo_queue = basic_queue<T, detail::lifo_order<T>>;

}  // namespace cadre
