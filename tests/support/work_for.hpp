// SPDX-License-Identifier: MIT
// A call that takes so long, on a processor.
#pragma once

#include <chrono>

namespace cadre::test {

inline void work_for(std::chrono::nanoseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) continue;
}

}  // namespace cadre::test
