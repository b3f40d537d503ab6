// SPDX-License-Identifier: MIT
// Points and lengths of time of any clock and unit, as near and as far as they may be.
#include "cadre/detail/deadline.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>

namespace cadre::test {
namespace {

using namespace std::chrono;
using namespace std::chrono_literals;
using detail::deadline_after;
using detail::deadline_at;
using detail::never;

/// In days, and late.
struct strange_clock {
  using rep = int;
  using period = std::ratio<86'400>;
  using duration = std::chrono::duration<rep, period>;
  using time_point = std::chrono::time_point<strange_clock>;
  [[maybe_unused]] static constexpr bool is_steady = false;
  static time_point now() { return time_point{duration{1'000'000'000}}; }
};

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double no_number = std::numeric_limits<double>::quiet_NaN();

bool is_past(detail::time_point deadline) { return deadline <= steady_clock::now(); }

/// Not earlier than asked, and not much later.
void expect_in(seconds wanted, detail::time_point deadline, seconds error = 1s) {
  const auto left = deadline - steady_clock::now();
  EXPECT_GT(left, wanted - error);
  EXPECT_LE(left, wanted + error);
}

}  // namespace

TEST(deadline, far_lengths_are_never) {
  EXPECT_EQ(deadline_after(nanoseconds::max()), never);
  EXPECT_EQ(deadline_after(hours::max()), never);
  EXPECT_EQ(deadline_after(years{1000}), never);
  EXPECT_EQ(deadline_after(duration<double>{infinity}), never);
  EXPECT_EQ(deadline_after(duration<float, std::nano>{std::numeric_limits<float>::max()}), never);
}

TEST(deadline, lengths_below_zero_are_now) {
  EXPECT_TRUE(is_past(deadline_after(0s)));
  EXPECT_TRUE(is_past(deadline_after(nanoseconds::min())));
  EXPECT_TRUE(is_past(deadline_after(hours::min())));
  EXPECT_TRUE(is_past(deadline_after(duration<double>{-infinity})));
  EXPECT_TRUE(is_past(deadline_after(duration<double>{no_number})));
}

TEST(deadline, far_points_are_never) {
  EXPECT_EQ(deadline_at(sys_days{year{3000} / 1 / 1}), never);
  EXPECT_GT(deadline_at(system_clock::time_point::max()), steady_clock::now() + years{200});
  EXPECT_EQ(deadline_at(sys_seconds::max()), never);
  EXPECT_EQ(deadline_at(steady_clock::time_point::max()), never);
  EXPECT_EQ(deadline_at(time_point<steady_clock, hours>::max()), never);
  EXPECT_EQ(deadline_at(time_point<steady_clock, duration<double>>{duration<double>{infinity}}),
            never);
  EXPECT_EQ(deadline_at(strange_clock::time_point::max()), never);
}

TEST(deadline, points_before_now_are_past) {
  EXPECT_TRUE(is_past(deadline_at(system_clock::time_point::min())));
  EXPECT_TRUE(is_past(deadline_at(system_clock::time_point{})));
  EXPECT_TRUE(is_past(deadline_at(sys_days{year{-30'000} / 1 / 1})));
  EXPECT_TRUE(is_past(deadline_at(steady_clock::time_point::min())));
  EXPECT_TRUE(is_past(deadline_at(time_point<steady_clock, hours>::min())));
  EXPECT_TRUE(is_past(deadline_at(strange_clock::time_point::min())));
  EXPECT_TRUE(is_past(
      deadline_at(time_point<system_clock, duration<double>>{duration<double>{no_number}})));
}

TEST(deadline, near_points_are_what_they_say) {
  expect_in(60s, deadline_at(system_clock::now() + 60s));
  expect_in(86'400s, deadline_at(strange_clock::now() + days{1}));
  expect_in(years{29}, deadline_at(system_clock::now() + years{29}));
  expect_in(years{100}, deadline_at(system_clock::now() + years{100}));
  const auto soon = steady_clock::now() + 1234ns;
  EXPECT_EQ(deadline_at(soon), soon);
  EXPECT_GE(deadline_at(time_point<steady_clock, duration<float>>{duration<float>{1.5F}}),
            steady_clock::time_point{1500ms});
}

}  // namespace cadre::test
