// SPDX-License-Identifier: MIT
// The time limit of one wait for the next of a completion_set. Shared by who waits and by the timer,
// which may come before the wait has begun, and after it has ended.
//
// The wait is ended by whoever takes the waiter off the set: a completion, a stop or this. The lock
// keeps the set for as long as expire() uses it.
#pragma once

#include <cadre/detail/completion_set.hpp>

#include <mutex>

#include "sync/mutex.hpp"

namespace cadre::detail {

class wait_limit {
 public:
  explicit wait_limit(completion_set& set) noexcept : set_{set} {}

  /// The waiter: it is on the set now. True if the time was over before and this took it back.
  bool open() noexcept {
    const std::lock_guard held{mutex_};
    open_ = true;
    return over_ && set_.end_wait();
  }
  /// The timer: the time is over. True if this has ended the wait; then the waiter is to go on.
  bool expire() noexcept {
    const std::lock_guard held{mutex_};
    over_ = true;
    return open_ && set_.end_wait();
  }
  /// The waiter goes on, or never began: expire() does not touch the set any more. True if the timer
  /// is still to come.
  bool close() noexcept {
    const std::lock_guard held{mutex_};
    open_ = false;
    closed_ = true;
    return !over_;
  }
  bool closed() const noexcept {
    const std::lock_guard held{mutex_};
    return closed_;
  }

 private:
  completion_set& set_;
  mutable sync::mutex mutex_;
  bool open_ = false;  // guarded by mutex_, as the next two
  bool over_ = false;
  bool closed_ = false;
};

}  // namespace cadre::detail
