// SPDX-License-Identifier: MIT
// EXPECT_TRUE(holds(body)): no schedule of `body` fails; otherwise prints the first that does.
#pragma once

#include <gtest/gtest.h>

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

}  // namespace cadre_model
