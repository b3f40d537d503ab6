// SPDX-License-Identifier: MIT
#include "executor/histogram.hpp"

#include <gtest/gtest.h>

namespace cadre::detail {
namespace {

using std::chrono::nanoseconds;

TEST(histogram, percentiles_are_the_upper_ends_of_their_buckets) {
  histogram h;
  h.add(100, 90);     // 64 to 127
  h.add(1000, 8);     // 512 to 1023
  h.add(100'000, 2);  // 65,536 to 131,071
  histogram::counts sum{};
  h.add_to(sum);

  const duration_summary summary = summarise(sum);

  EXPECT_EQ(summary.samples, 100U);
  EXPECT_EQ(summary.p50, nanoseconds{128});
  EXPECT_EQ(summary.p95, nanoseconds{1024});
  EXPECT_EQ(summary.p99, nanoseconds{131'072});
}

TEST(histogram, nothing_measured_is_zero) {
  const duration_summary summary = summarise(histogram::counts{});

  EXPECT_EQ(summary.samples, 0U);
  EXPECT_EQ(summary.p99, nanoseconds{0});
}

TEST(histogram, what_takes_longer_than_the_last_bucket_counts_there) {
  histogram h;
  h.add(~std::uint64_t{0}, 1);
  histogram::counts sum{};
  h.add_to(sum);

  EXPECT_EQ(sum.back(), 1U);
}

}  // namespace
}  // namespace cadre::detail
