// SPDX-License-Identifier: MIT
// EXPECT_TRUE(holds(body)): no schedule of `body` fails; otherwise prints the first that does.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "explorer.hpp"

namespace cadre_model {

inline testing::AssertionResult holds(const options& how, const std::function<void()>& body) {
  const result r = explore(how, body);
  testing::Test::RecordProperty("schedules", std::to_string(r.schedules));
  return r.failure ? testing::AssertionFailure() << *r.failure : testing::AssertionSuccess();
}

inline testing::AssertionResult holds(const std::function<void()>& body) {
  return holds(options{}, body);
}

/// Some schedule has failed, with `reason`.
inline testing::AssertionResult fails_with(const std::string& reason, const result& r) {
  if (!r.failure) return testing::AssertionFailure() << "passed " << r.schedules << " schedules";
  if (r.failure->find(reason) == std::string::npos) {
    return testing::AssertionFailure() << *r.failure;
  }
  return testing::AssertionSuccess();
}

/// As holds(), with the thread `how.victim` killed at each of its steps in turn.
inline testing::AssertionResult holds_if_killed(options how, const std::function<void()>& body) {
  std::uint64_t schedules = 0;
  for (how.killed_at = 0;; ++how.killed_at) {
    const result r = explore(how, body);
    schedules += r.schedules;
    if (r.failure) {
      return testing::AssertionFailure()
             << "killed at step " << how.killed_at << ": " << *r.failure;
    }
    if (!r.killed) break;
  }
  testing::Test::RecordProperty("schedules", std::to_string(schedules));
  if (how.killed_at == 0) return testing::AssertionFailure() << "the victim has no steps";
  return testing::AssertionSuccess();
}

}  // namespace cadre_model
