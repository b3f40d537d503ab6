// SPDX-License-Identifier: MIT
// How many more calls a bounded pool takes.
//
//   submitter                          worker
//   R1  waiting += 1                   B1  room += 1
//   R2  look at the room once more     B2  if anybody waits: epoch += 1, wake
//   R3  sleep while the epoch stays
//
// R1, R2, B1 and B2 are seq_cst: either the submitter sees the room or the worker the waiter.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "sync/futex.hpp"

namespace cadre::detail {

class room {
 public:
  explicit room(std::size_t size) noexcept
      : left_{static_cast<std::int64_t>(std::min<std::size_t>(size, INT64_MAX))} {}

  bool try_enter() noexcept {
    // relaxed: the compare-exchange orders.
    std::int64_t left = left_.load(std::memory_order_relaxed);
    while (left > 0) {
      // acquire: pairs with the release half in leave(). relaxed on failure: the loop looks again.
      if (left_.compare_exchange_weak(left, left - 1, std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
        return true;
      }
    }
    return false;
  }

  /// Whether there is room or not: for the pool's own workers.
  void enter_anyway() noexcept {
    // relaxed: the caller learns nothing.
    left_.fetch_sub(1, std::memory_order_relaxed);
  }

  /// Blocks until there is room; false once closed. For a call that is over at `limit`, whether there is
  /// room or not then.
  bool enter(sync::time_point limit = sync::never) noexcept {
    waiting_.fetch_add(1, std::memory_order_seq_cst);  // seq_cst: R1, pairs with B2
    bool entered = false;
    for (;;) {
      // acquire: pairs with the release half of the fetch_add in wake(). Read before R2.
      const std::uint32_t epoch = epoch_.load(std::memory_order_acquire);
      if (closed_.load(std::memory_order_seq_cst)) break;  // seq_cst: pairs with close()
      // seq_cst: R2, pairs with B1.
      if (left_.load(std::memory_order_seq_cst) > 0) entered = try_enter();
      if (entered) break;
      if (!sync::futex_wait(epoch_, epoch, limit)) {
        enter_anyway();
        entered = true;
        break;
      }
    }
    waiting_.fetch_sub(1, std::memory_order_relaxed);  // relaxed: a needless wake does no harm
    return entered;
  }

  void leave() noexcept {
    left_.fetch_add(1, std::memory_order_seq_cst);               // seq_cst: B1, pairs with R2
    if (waiting_.load(std::memory_order_seq_cst) != 0) wake(1);  // seq_cst: B2, pairs with R1
  }

  void close() noexcept {
    closed_.store(true, std::memory_order_seq_cst);  // seq_cst: pairs with the load in enter()
    wake(INT32_MAX);
  }

 private:
  void wake(int count) noexcept {
    epoch_.fetch_add(1, std::memory_order_release);  // release: pairs with the acquire in enter()
    sync::futex_wake(&epoch_, count);
  }

  sync::atomic<std::int64_t> left_;
  sync::atomic<std::uint32_t> waiting_{0};
  sync::atomic<std::uint32_t> epoch_{0};
  sync::atomic<bool> closed_{false};
};

}  // namespace cadre::detail
