// SPDX-License-Identifier: MIT
// Fails every test that leaves a thread, a file descriptor, a child process, or the block of a future or a
// call behind.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace cadre::test {

/// How many blocks live; null in a program that does not count them.
inline long (*live_blocks)() = nullptr;

class leak_check : public testing::EmptyTestEventListener {
 private:
  void OnTestStart(const testing::TestInfo& test) override;
  void OnTestEnd(const testing::TestInfo& test) override;

  std::map<std::string, std::string> before_;  // what there is, and how to name it in a message
  long blocks_before_ = 0;
};

}  // namespace cadre::test
