// SPDX-License-Identifier: MIT
// How much processor time this process uses.
#pragma once

#include <time.h>

#include <chrono>
#include <thread>

namespace cadre::test {

/// User and system time of all threads, those that ended included. Source: clock_gettime(2).
inline std::chrono::nanoseconds process_cpu_time() {
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return std::chrono::seconds{used.tv_sec} + std::chrono::nanoseconds{used.tv_nsec};
}

/// Lets the calling thread sleep for `interval` and returns the processor time that the process
/// used meanwhile as a share of the wall time: 1 is one busy processor.
inline double cpu_share_over(std::chrono::nanoseconds interval) {
  const auto start = std::chrono::steady_clock::now();
  const auto used = process_cpu_time();
  std::this_thread::sleep_for(interval);
  const std::chrono::duration<double> cpu = process_cpu_time() - used;
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
  return cpu / wall;
}

}  // namespace cadre::test
