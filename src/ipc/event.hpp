// SPDX-License-Identifier: MIT
// event: wakes a process that sleeps in a poller. An eventfd.
//
// A poller that watches it with trigger::edge reports each ring() that came since its last report,
// so that nobody has to reset it.
//
// Threads    All of it from any thread, and from any process that has the descriptor.
#pragma once

#include "ipc/descriptor.hpp"

namespace cadre::ipc {

class event {
 public:
  event();
  /// The one that another process made.
  explicit event(descriptor given) noexcept : fd_{std::move(given)} {}

  /// Never blocks. A system call.
  void ring() const noexcept;
  /// For pollers that report a level: not readable again until the next ring(). A system call.
  void silence() const noexcept;
  int fd() const noexcept { return fd_.get(); }
  void close() noexcept { fd_.reset(); }

 private:
  descriptor fd_;
};

}  // namespace cadre::ipc
