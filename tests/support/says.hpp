// SPDX-License-Identifier: MIT
// What an exception says.
#pragma once

#include <gtest/gtest.h>

#include <string>

namespace cadre::test {

/// What the Error says that `action` throws; empty if it throws none.
template <typename Error, typename Action>
std::string message_of(Action action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return {};
}

inline testing::AssertionResult says(const std::string& message, const std::string& words) {
  if (message.find(words) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << '"' << words << "\" is not in: " << message;
}

}  // namespace cadre::test
