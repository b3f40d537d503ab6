// SPDX-License-Identifier: MIT
// spin_until: waits awake, for what will probably come before a sleep would have paid off.
#pragma once

#include <chrono>

#include "sync/futex.hpp"

namespace cadre::sync {

/// True as soon as `ready()`, false after `budget`. It first stays on its processor for about 1 us;
/// then it lets other threads run at each turn: the one it waits for may need this very processor.
template <typename Ready>
bool spin_until(Ready ready, std::chrono::nanoseconds budget) {
  constexpr int turns_alone = 32;
  if (ready()) return true;
  if (budget <= budget.zero()) return false;
  for (int turn = 0; turn < turns_alone; ++turn) {
    pause();
    if (ready()) return true;
  }
  const auto end = std::chrono::steady_clock::now() + budget;
  do {
    yield();
    if (ready()) return true;
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

}  // namespace cadre::sync
