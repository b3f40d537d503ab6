// SPDX-License-Identifier: MIT
// One thread's place to sleep: park() returns when unpark() came, before or meanwhile. Several
// unparks before one park count as one.
//
//   sleeper                                   waker
//   K1  empty -> parked, else take it         U1  -> signalled
//   K2  sleep while parked                    U2  wake if it was parked
//
// A sleeper may nap instead: it says so by the word, and has a deadline that is near. Then U2 may come
// later, or never, at the waker's choice.
//
// U1 is the waker's last access to the object; U2 uses only its address. So the sleeper may destroy
// the parker as soon as park() returned true. Model test "parker: no wake-up is lost".
#pragma once

#include "sync/futex.hpp"

namespace cadre::sync {

class parker {
 public:
  /// What the waker found: whether step U2 must follow, or may.
  enum class sleep { none, parked, napping };

  /// Sleeps until unpark() or the deadline; true if it took an unpark().
  bool park(time_point deadline = never) noexcept { return rest(parked, deadline); }

  /// As park(), but whoever signals may leave it to the deadline to wake the sleeper.
  bool nap(time_point deadline) noexcept { return rest(napping, deadline); }

  /// Lets the present or next park() return.
  void unpark() noexcept {
    if (signal() != sleep::none) wake(this);
  }

  /// Step U1 alone.
  sleep signal() noexcept {
    // release: pairs with the acquires in rest().
    switch (word_.exchange(signalled, std::memory_order_release)) {
      case parked:
        return sleep::parked;
      case napping:
        return sleep::napping;
      default:
        return sleep::none;
    }
  }
  /// Step U2 alone: the parker may be gone.
  static void wake(const parker* sleeper) noexcept { futex_wake(&sleeper->word_); }

  /// True if unpark() came since the last park(). Never blocks.
  bool signalled_now() const noexcept {
    // acquire: pairs with the release in unpark().
    return word_.load(std::memory_order_acquire) == signalled;
  }

 private:
  enum state : std::uint32_t { empty, parked, napping, signalled };

  bool rest(state how, time_point deadline) noexcept {
    std::uint32_t word = empty;
    // acquire, on failure too: pairs with the release in signal(); what the waker did is visible.
    if (word_.compare_exchange_strong(word, how, std::memory_order_acquire,
                                      std::memory_order_acquire)) {
      bool in_time = true;
      // acquire: pairs with the release in signal().
      while ((word = word_.load(std::memory_order_acquire)) == how && in_time) {
        in_time = futex_wait(word_, how, deadline);
      }
      // acquire: on failure it pairs with the release in signal(), which came after all.
      if (word == how && word_.compare_exchange_strong(word, empty, std::memory_order_acquire,
                                                       std::memory_order_acquire)) {
        return false;
      }
    }
    // acquire: pairs with the release in signal(), also of one that came since the load above: the
    // two count as one.
    word_.exchange(empty, std::memory_order_acquire);
    return true;
  }

  atomic<std::uint32_t> word_{empty};
};

}  // namespace cadre::sync
