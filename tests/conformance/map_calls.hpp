// SPDX-License-Identifier: MIT
// What the tests of map call, and how they read its results.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <vector>

#include "support/gate.hpp"

namespace cadre::test {

template <typename Results>
std::vector<int> all_of(Results&& results) {
  std::vector<int> values;
  for (const int value : results) values.push_back(value);
  return values;
}

/// What comes before the exception `Error`.
template <typename Error, typename Results>
std::vector<int> all_before(Results&& results) {
  std::vector<int> values;
  EXPECT_THROW(for (const int value : results) values.push_back(value), Error);
  return values;
}

/// The first `count` results; more are never asked for.
template <typename Results>
std::vector<int> first_of(Results&& results, std::size_t count) {
  std::vector<int> values;
  for (auto it = results.begin(); values.push_back(*it), values.size() < count; ++it) {
  }
  return values;
}

inline int square(int n) { return n * n; }

/// Squares, but blocks at the gate for one of the numbers.
struct square_but_block {
  gate_handle here;
  int blocked;
  int operator()(int n) const { return n == blocked ? pass(here, n * n) : n * n; }
};

struct arrive_at {
  gate_handle here;
  int operator()(int n) const { return arrive(here, n); }
};

inline bool is_even(int n) { return n % 2 == 0; }

}  // namespace cadre::test
