// SPDX-License-Identifier: MIT
// stats(): what they tell of the times that calls took.
#include <cadre/stats.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>

#include "conformance/example_futures.hpp"
#include "conformance/executors.hpp"

namespace cadre::test {
namespace {

template <typename Traits>
class stats_of : public testing::Test {};
TYPED_TEST_SUITE(stats_of, pools, executor_names);

constexpr std::chrono::milliseconds a_while{5};

int be_busy_for_a_while() {
  const auto end = std::chrono::steady_clock::now() + a_while;
  int turns = 0;
  while (std::chrono::steady_clock::now() < end) ++turns;
  return turns;
}

int same(int n) { return n; }

TYPED_TEST(stats_of, slow_calls_have_the_times_of_each) {
  constexpr std::uint64_t calls = 8;
  const auto executor = TypeParam::make(1);
  for (std::uint64_t i = 0; i < calls; ++i) executor->submit(&be_busy_for_a_while).get();

  const auto told = executor->stats();

  EXPECT_EQ(told.run_time.samples, calls);
  EXPECT_GE(told.run_time.p50, a_while);
}

// One in 32 is measured, which then counts for 32.
TYPED_TEST(stats_of, fast_calls_count_about_as_often_as_they_ran) {
  constexpr int calls = 4096;
  const auto executor = TypeParam::make(1);
  for (int i = 0; i < calls; ++i) executor->submit(&same, i).get();

  const auto told = executor->stats();

  EXPECT_NEAR(static_cast<double>(told.run_time.samples), calls, 64);
  EXPECT_EQ(told.finished, static_cast<std::uint64_t>(calls));
}

}  // namespace
}  // namespace cadre::test
