// SPDX-License-Identifier: MIT
// Tells a story once for each n, in child processes of the test: whoever ends its process is noticed, and
// the next child goes on behind it.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "support/hang_detector.hpp"
#include "support/process.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {

/// In the child: ends the process, with all stacks, when a step takes too long. `calm`: as pool_story's.
class step_watchdog {
 public:
  explicit step_watchdog(void (*calm)()) : calm_{calm}, thread_{[this] { watch(); }} {}
  ~step_watchdog() {
    {
      const std::lock_guard lock{mutex_};
      stop_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }
  step_watchdog(const step_watchdog&) = delete;
  step_watchdog& operator=(const step_watchdog&) = delete;

  void begin_step() {
    const std::lock_guard lock{mutex_};
    deadline_ = std::chrono::steady_clock::now() + 2 * medium_time;
  }

 private:
  void watch() {
    std::unique_lock lock{mutex_};
    while (!stop_) {
      if (changed_.wait_until(lock, deadline_) == std::cv_status::no_timeout) continue;
      if (std::chrono::steady_clock::now() < deadline_) continue;
      calm_();
      std::fputs("this step hangs\n", stderr);
      print_all_stacks();
      ::_exit(EXIT_FAILURE);
    }
  }

  void (*const calm_)();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::chrono::steady_clock::time_point deadline_ =
      std::chrono::steady_clock::now() + 2 * medium_time;
  bool stop_ = false;
  std::thread thread_;
};

/// Descriptors and threads of this process.
struct resources {
  static std::ptrdiff_t count(const char* folder) {
    return std::distance(std::filesystem::directory_iterator{folder}, {});
  }
  std::ptrdiff_t descriptors = count("/proc/self/fd");
  std::ptrdiff_t threads = count("/proc/self/task");

  /// What is more than before, once threads that are about to end have done so.
  std::string more_than(const resources& before) const {
    resources now = *this;
    const auto deadline = std::chrono::steady_clock::now() + small_time;
    const auto more = [&] {
      return now.descriptors > before.descriptors || now.threads > before.threads;
    };
    while (more() && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
      now = {};
    }
    if (!more()) return {};
    return std::to_string(now.descriptors - before.descriptors) + " descriptors, " +
           std::to_string(now.threads - before.threads) + " threads are left behind";
  }
};

/// The number that the environment has by that name, or 0.
inline long number_from_environment(const char* name) {
  const char* const text = std::getenv(name);
  return text != nullptr ? std::atol(text) : 0;
}

inline constexpr const char* first_step_name = "CADRE_FIRST_STEP";

inline constexpr const char* stride_name = "CADRE_STEP_STRIDE";

/// In the child: every so manieth step is gone.
inline long step_stride() { return std::max(1L, number_from_environment(stride_name)); }

/// In the test: a step may be a pool with its processes; then not all are for every day. Their number
/// should have no divisor in common with that of the kinds of steps, so that all kinds get their turn.
inline void take_some(long stride) {
  ::setenv(stride_name, std::to_string(stride).c_str(), 0);  // the nightly run says 1
}

/// In the child, before a step: how far it came.
inline void print_step(long n) {
  std::printf("step %ld\n", n);
  std::fflush(stdout);
}

/// In the test: runs `child`, which goes through its steps from CADRE_FIRST_STEP on, and again behind
/// each step that ended it in a way that `allowed` takes. Returns how many there were of those.
template <typename Predicate>
unsigned go_through_steps(const child_program& child, const Predicate& allowed) {
  unsigned ends = 0;
  for (long first = 0;;) {
    ::setenv(first_step_name, std::to_string(first).c_str(), 1);
    const ended how = child.run(4 * long_time);
    ::unsetenv(first_step_name);
    if (how.exit_code == 0) return ends;
    const auto last = how.out.rfind("step ");
    const long n = last == std::string::npos ? first : std::atol(how.out.c_str() + last + 5);
    if (!allowed(how)) {
      ADD_FAILURE() << "at n = " << n << ": " << how;
      return ends;
    }
    ++ends;
    first = n + 1;
    std::printf("at n = %ld it ended the program: %s", n, how.err.c_str());
  }
}

}  // namespace cadre::test
