// SPDX-License-Identifier: MIT
// poller: sleeps until one of many descriptors has something. An epoll instance.
//
// Threads    One waits; any thread may add and remove meanwhile.
#pragma once

#include <poll.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "ipc/descriptor.hpp"
#include "sync/futex.hpp"

namespace cadre::ipc {

class poller {
 public:
  /// level: reported as long as there is something to read. edge: reported once for what came since.
  enum class trigger { level, edge };

  struct ready {
    std::uint64_t token;  // as given to add()
    bool hung_up;         // the other end is gone; there may be something to read all the same
  };

  poller();

  /// Watches `fd` for reading until remove(). Throws std::system_error.
  void add(int fd, std::uint64_t token, trigger how);
  /// Lets it be, or watches it again: what came meanwhile is then reported.
  void pause(int fd) noexcept;
  void resume(int fd, std::uint64_t token, trigger how) noexcept;
  /// Before `fd` is closed: another process may have a copy, and epoll would go on to report it.
  void remove(int fd) noexcept;

  /// Blocks until something is ready or the deadline, to the next millisecond; signals do not end it.
  /// Returns how many of `found` it has filled, 0 after the deadline.
  std::size_t wait(std::span<ready> found, sync::time_point deadline = sync::never);

 private:
  descriptor fd_;
};

/// Blocks until one of a few descriptors, which no poller need watch, has something. False after the deadline.
bool poll_until(std::span<pollfd> descriptors, sync::time_point deadline) noexcept;

}  // namespace cadre::ipc
