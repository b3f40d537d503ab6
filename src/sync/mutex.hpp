// SPDX-License-Identifier: MIT
// A small mutex on a futex word: 4 bytes, no allocation, usable in constant initialisation, and
// visible to the schedule explorer. Critical sections here are short: lock() spins a little first.
// Source: U. Drepper, "Futexes are tricky" (2011), mutex 3.
#pragma once

#include "sync/futex.hpp"

namespace cadre::sync {

class mutex {
 public:
  void lock() noexcept {
    for (int turn = 0; turn < spins; ++turn) {
      if (try_lock()) return;
      pause();
    }
    // acquire: pairs with the release in unlock().
    while (word_.exchange(contended, std::memory_order_acquire) != unlocked) {
      futex_wait(word_, contended);
    }
  }

  bool try_lock() noexcept {
    std::uint32_t expected = unlocked;
    // acquire: pairs with the release in unlock(). relaxed on failure: nothing was acquired.
    return word_.compare_exchange_strong(expected, locked, std::memory_order_acquire,
                                         std::memory_order_relaxed);
  }

  void unlock() noexcept {
    // release: pairs with the acquires in lock() and try_lock().
    if (word_.exchange(unlocked, std::memory_order_release) == contended) futex_wake(&word_);
  }

 private:
  // More spins win when the owner runs on another processor; fewer when it was preempted.
  static constexpr int spins = 16;
  enum : std::uint32_t { unlocked, locked, contended };
  atomic<std::uint32_t> word_{unlocked};
};

}  // namespace cadre::sync
