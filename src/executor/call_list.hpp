// SPDX-License-Identifier: MIT
// call_list: the entries of a call_registry. Whoever owns it locks.
#pragma once

#include <cadre/detail/call.hpp>

namespace cadre::detail {

class call_list {
 public:
  using entry = call_registry::entry;

  void add(entry& e) noexcept {
    e.next = first_;
    if (first_ != nullptr) first_->previous = &e;
    first_ = &e;
  }
  /// Of one that was added.
  void remove(entry& e) noexcept {
    (e.previous == nullptr ? first_ : e.previous->next) = e.next;
    if (e.next != nullptr) e.next->previous = e.previous;
  }
  entry* first() const noexcept { return first_; }  ///< the newest; null: none

 private:
  entry* first_ = nullptr;
};

}  // namespace cadre::detail
