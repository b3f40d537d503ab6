// SPDX-License-Identifier: MIT
// How many bytes of arguments the calls in a pool hold, and who waits until they are fewer.
//
// Whoever finds less than the bound enters, with a call of any size: no large one waits for ever behind
// small ones. So the bound is exceeded by one call for each thread that submits at that moment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>

#include "sync/futex.hpp"
#include "sync/mutex.hpp"

namespace cadre::process {

class pending_bytes {
 public:
  explicit pending_bytes(std::optional<std::size_t> most) noexcept
      : most_{most.value_or(SIZE_MAX)} {}

  /// Also without the pool's lock: then it may be about to change.
  bool full() const noexcept {
    return bytes_.load(std::memory_order_relaxed) >= most_;  // relaxed: the lock orders, or nothing
  }

  // What follows is called under the pool's lock.

  void add(std::size_t bytes) noexcept {
    // relaxed: as above. Only who has the lock writes.
    bytes_.store(bytes_.load(std::memory_order_relaxed) + bytes, std::memory_order_relaxed);
  }

  void remove(std::size_t bytes) noexcept {
    // relaxed: as above
    const std::size_t left = bytes_.load(std::memory_order_relaxed) - bytes;
    bytes_.store(left, std::memory_order_relaxed);  // relaxed: as above
    // Not for each call: who waits then has much to submit at once.
    if (waiting_ != 0 && left <= most_ / 2) wake();
  }

  /// Whoever waits is to look again.
  void wake() noexcept {
    epoch_.fetch_add(1, std::memory_order_relaxed);  // relaxed: changes under the lock
    sync::futex_wake(&epoch_, INT32_MAX);
  }

  /// Blocks without the lock until wake(), and maybe less. False after the deadline.
  bool wait(std::unique_lock<sync::mutex>& held, sync::time_point deadline) noexcept {
    ++waiting_;
    const std::uint32_t epoch = epoch_.load(std::memory_order_relaxed);  // relaxed: as in wake()
    held.unlock();
    const bool in_time = sync::futex_wait(epoch_, epoch, deadline);
    held.lock();
    --waiting_;
    return in_time;
  }

 private:
  const std::size_t most_;
  std::size_t waiting_ = 0;
  sync::atomic<std::size_t> bytes_{0};
  sync::atomic<std::uint32_t> epoch_{0};
};

}  // namespace cadre::process
