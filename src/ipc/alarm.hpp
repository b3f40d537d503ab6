// SPDX-License-Identifier: MIT
// alarm: wakes a thread that sleeps in a poller once, after a time. A timerfd.
//
// Threads    All of it from any thread.
#pragma once

#include <chrono>

#include "ipc/descriptor.hpp"

namespace cadre::ipc {

class alarm {
 public:
  /// Throws std::system_error.
  alarm();

  /// From now; more than 0. What was set before does not ring. A system call; never blocks.
  void ring_after(std::chrono::nanoseconds time) const noexcept;
  int fd() const noexcept { return fd_.get(); }

 private:
  descriptor fd_;
};

}  // namespace cadre::ipc
