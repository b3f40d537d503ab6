// SPDX-License-Identifier: MIT
// Fails every test that leaves a thread, a file descriptor or a child process behind.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace cadre::test {

class leak_check : public testing::EmptyTestEventListener {
 private:
  void OnTestStart(const testing::TestInfo& test) override;
  void OnTestEnd(const testing::TestInfo& test) override;

  std::map<std::string, std::string> before_;  // what there is, and how to name it in a message
};

}  // namespace cadre::test
