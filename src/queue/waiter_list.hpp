// SPDX-License-Identifier: MIT
// The threads that wait for one thing of a queue, first come first woken. Guarded by the queue's lock.
#pragma once

#include <mutex>
#include <utility>

#include "sync/mutex.hpp"
#include "sync/parker.hpp"

namespace cadre::detail {

class waiter_list {
 public:
  /// Lives on the stack of its thread, which takes the lock once more before it leaves: until then
  /// whoever has the lock may use the waiter.
  struct waiter {
    sync::parker parker;
    waiter* next = nullptr;
    waiter** link = nullptr;  // what points here; null while in no list
  };

  void push(waiter& last) noexcept {
    last.link = tail_;
    *tail_ = &last;
    tail_ = &last.next;
  }

  /// No effect if it was woken, hence taken out, before.
  void remove(waiter& node) noexcept {
    if (node.link == nullptr) return;
    *node.link = node.next;
    (node.next != nullptr ? node.next->link : tail_) = node.link;
    node.next = nullptr;
    node.link = nullptr;
  }

  /// Unlocks. The system call comes after it, and needs only the address of the waiter.
  void wake_one(std::unique_lock<sync::mutex>& lock) noexcept {
    waiter* const node = first_;
    if (node == nullptr) return lock.unlock();
    remove(*node);
    const bool asleep = node->parker.signal() != sync::parker::sleep::none;
    lock.unlock();
    if (asleep) sync::parker::wake(&node->parker);
  }

  /// With the system calls under the lock: for what is rare.
  void wake_all() noexcept {
    while (waiter* const node = first_) {
      remove(*node);
      node->parker.unpark();
    }
  }

  /// The last wait has ended so soon that to spin would have found it.
  bool spin_next = false;

 private:
  waiter* first_ = nullptr;
  waiter** tail_ = &first_;
};

}  // namespace cadre::detail
