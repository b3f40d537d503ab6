// SPDX-License-Identifier: MIT
// spin_until, watch_until: wait awake, for what will probably come before a sleep would have paid off.
#pragma once

#include <chrono>

#include "sync/futex.hpp"

namespace cadre::sync {

/// True as soon as `ready()`, false after some microseconds, which this thread keeps its processor.
///
/// Each look takes the cache line that it looks at away from the thread that works on it, which then
/// waits for it: so the first look comes when the fastest answer can be there, and the next ones not
/// at once.
template <typename Ready>
bool look_until(Ready ready) {
  // More lets the fastest answers wait; less takes the line from whoever is about to write it.
  constexpr std::chrono::nanoseconds first_look{170};
  // More sees the answer later; less disturbs more often whoever works on it.
  constexpr std::chrono::nanoseconds between_looks{50};
  // More keeps this processor from whoever may need it; less makes system calls while an answer is near.
  constexpr int looks = 50;
  if (ready()) return true;
  pause_for(first_look);
  for (int look = 0; look < looks; ++look) {
    if (ready()) return true;
    pause_for(between_looks);
  }
  return false;
}

/// As look_until(), for a line that is written once, by who is done: it is taken from nobody in the
/// midst of work, so all looks are near each other.
template <typename Ready>
bool watch_until(Ready ready) {
  // More keeps this processor from whoever may need it; less makes system calls while an answer is near.
  constexpr int looks = 160;  // some 2 us, where a pause takes 12 ns
  for (int look = 0; look < looks; ++look) {
    if (ready()) return true;
    pause();
  }
  return false;
}

/// True as soon as `ready()`, false after `budget`. Other threads may run between the looks: the one
/// that is waited for may need this very processor.
template <typename Ready>
bool yield_until(Ready ready, std::chrono::nanoseconds budget) {
  using clock = std::chrono::steady_clock;
  const clock::time_point end = clock::now() + budget;
  do {
    if (ready()) return true;
    yield();
  } while (clock::now() < end);
  return ready();
}

/// First as look_until(), then as yield_until(); without a budget, one look.
template <typename Ready>
bool spin_until(Ready ready, std::chrono::nanoseconds budget) {
  if (budget <= budget.zero()) return ready();
  return look_until(ready) || yield_until(ready, budget);
}

/// As spin_until(), but first as watch_until().
template <typename Ready>
bool watch_until(Ready ready, std::chrono::nanoseconds budget) {
  if (budget <= budget.zero()) return ready();
  return watch_until(ready) || yield_until(ready, budget);
}

}  // namespace cadre::sync
