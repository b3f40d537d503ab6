// SPDX-License-Identifier: MIT
// The only durations that tests name: four constants times one scale factor.
//
// short_time    a wait that is expected to time out
// small_time    time enough for another thread to get a turn
// medium_time   an operation that is expected to succeed soon
// long_time     "for ever", as far as a test is concerned
//
// Source: the delays of JSR166TestCase, the tests of java.util.concurrent.
#pragma once

#include <chrono>
#include <cstdlib>

#include "support/sanitizers.hpp"

namespace cadre::test {

/// How much slower than a plain build on an idle machine everything may be: 2 under
/// ThreadSanitizer, 1.25 under AddressSanitizer, times the environment's CADRE_TEST_SCALE.
inline double time_scale() {
  static const double scale = [] {
    const char* given = std::getenv("CADRE_TEST_SCALE");
    return (under_tsan ? 2 : under_asan ? 1.25 : 1) * (given != nullptr ? std::atof(given) : 1.0);
  }();
  return scale;
}

inline std::chrono::milliseconds scaled(std::chrono::milliseconds time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time * time_scale());
}

inline const std::chrono::milliseconds short_time = scaled(std::chrono::milliseconds{50});
inline const std::chrono::milliseconds small_time = scaled(std::chrono::milliseconds{500});
inline const std::chrono::milliseconds medium_time = scaled(std::chrono::seconds{5});
inline const std::chrono::milliseconds long_time = scaled(std::chrono::seconds{30});

/// A test that runs longer hangs. Below the time limits that CMakePresets.json gives to ctest.
inline const std::chrono::milliseconds hang_limit = scaled(std::chrono::seconds{45});

}  // namespace cadre::test
