// SPDX-License-Identifier: MIT
// frames_test: fails a test that leaves a coroutine's frame behind, or destroys one twice.
#pragma once

#include <gtest/gtest.h>

#include <atomic>

#include "support/unhandled_log.hpp"

namespace cadre::test {

/// A parameter or local variable of a coroutine: lives as long as the frame.
class counted {
 public:
  counted() noexcept { ++alive(); }
  counted(const counted&) noexcept { ++alive(); }
  counted& operator=(const counted&) noexcept = default;
  ~counted() { --alive(); }

  static std::atomic<int>& alive() {
    static std::atomic<int> count{0};
    return count;
  }
};

class frames_test : public testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(counted::alive().load(), 0) << "frames left behind"; }

 private:
  unhandled_log quiet_;  // promises that are dropped on purpose
};

}  // namespace cadre::test
