// SPDX-License-Identifier: MIT
// One thread's place to sleep: park() returns when unpark() came, before or meanwhile. Several
// unparks before one park count as one.
//
//   sleeper                                   waker
//   K1  empty -> parked, else take it         U1  -> signalled
//   K2  sleep while parked                    U2  wake if it was parked
//
// U1 is the waker's last access to the object; U2 uses only its address. So the sleeper may destroy
// the parker as soon as park() returned true. Model test "parker: no wake-up is lost".
#pragma once

#include "sync/futex.hpp"

namespace cadre::sync {

class parker {
 public:
  /// Sleeps until unpark() or the deadline; true if it took an unpark().
  bool park(time_point deadline = never) noexcept {
    std::uint32_t word = empty;
    // acquire, on failure too: pairs with the release in unpark(); what the waker did is visible.
    if (word_.compare_exchange_strong(word, parked, std::memory_order_acquire,
                                      std::memory_order_acquire)) {
      bool in_time = true;
      // acquire: pairs with the release in unpark().
      while ((word = word_.load(std::memory_order_acquire)) == parked && in_time) {
        in_time = futex_wait(word_, parked, deadline);
      }
      // acquire: on failure it pairs with the release in unpark(), which came after all.
      if (word == parked && word_.compare_exchange_strong(word, empty, std::memory_order_acquire,
                                                          std::memory_order_acquire)) {
        return false;
      }
    }
    // acquire: pairs with the release in unpark(), also of one that came since the load above: the
    // two count as one.
    word_.exchange(empty, std::memory_order_acquire);
    return true;
  }

  /// Lets the present or next park() return.
  void unpark() noexcept {
    if (signal()) wake(this);
  }

  /// Step U1 alone; true if step U2 must follow.
  bool signal() noexcept {
    // release: pairs with the acquires in park().
    return word_.exchange(signalled, std::memory_order_release) == parked;
  }
  /// Step U2 alone: the parker may be gone.
  static void wake(const parker* sleeper) noexcept { futex_wake(&sleeper->word_); }

  /// True if unpark() came since the last park(). Never blocks.
  bool signalled_now() const noexcept {
    // acquire: pairs with the release in unpark().
    return word_.load(std::memory_order_acquire) == signalled;
  }

 private:
  enum : std::uint32_t { empty, parked, signalled };
  atomic<std::uint32_t> word_{empty};
};

}  // namespace cadre::sync
