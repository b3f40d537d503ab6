// SPDX-License-Identifier: MIT
// Ends a test that hangs, with the stack of every thread on stderr.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace cadre::test {

/// A thread that watches the clock while a test runs. Its limit is below the TIMEOUT that ctest
/// has for one test, which would show no stack.
class hang_detector : public testing::EmptyTestEventListener {
 public:
  explicit hang_detector(std::chrono::milliseconds limit);
  ~hang_detector() override;

 private:
  void OnTestStart(const testing::TestInfo& test) override;
  void OnTestEnd(const testing::TestInfo& test) override;
  void watch();

  const std::chrono::milliseconds limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string test_;                                               // the one that runs
  std::optional<std::chrono::steady_clock::time_point> deadline_;  // none: no test runs
  bool stop_ = false;
  std::thread watcher_;
};

/// Prints the stack of every other thread of this process on stderr.
void print_all_stacks();

}  // namespace cadre::test
