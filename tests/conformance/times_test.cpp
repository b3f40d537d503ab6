// SPDX-License-Identifier: MIT
// Every function that takes a time: one that is far away never comes, one that has been is over.
#include <cadre/cadre.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <utility>

#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using namespace std::chrono;
using namespace std::chrono_literals;

constexpr auto year_3000 = sys_days{year{3000} / 1 / 1};
constexpr duration<double> for_ever{std::numeric_limits<double>::infinity()};

}  // namespace

TEST(times, far_ones_do_not_come) {
  thread_pool_executor pool{1};
  queue<int> empty;
  auto at = submit_at(pool, year_3000, [] {});
  auto after = submit_after(pool, for_ever, [] {});
  auto every = submit_every(pool, {.period = nanoseconds::max(), .first_after = hours{1}}, [] {});
  auto seldom = submit_every(pool, hours::max(), [] {});
  auto never = submit_every(pool, for_ever, [] {});
  promise<int> unkept;
  auto waits = unkept.get_future();

  EXPECT_FALSE(at.wait_for(short_time));
  EXPECT_FALSE(after.done());
  EXPECT_FALSE(every.done());
  EXPECT_FALSE(seldom.done());
  EXPECT_FALSE(never.done());

  auto waiter = pool.submit([&] { return waits.wait_until(sys_seconds::max()); });
  auto taker = submit_after(pool, 0s, [&] { return *empty.get_until(year_3000); });
  unkept.set_value(1);
  EXPECT_TRUE(waiter.get());
  empty.put(2);
  EXPECT_EQ(taker.get(), 2);
  EXPECT_EQ(std::move(waits).get_until(time_point<steady_clock, hours>::max()), 1);
  for (auto* each : {&at, &after}) each->cancel();
  for (auto* each : {&every, &seldom, &never}) each->cancel();
}

TEST(times, past_ones_are_over) {
  thread_pool_executor pool{1};
  queue<int> empty;
  promise<int> unkept;
  const auto waits = unkept.get_future();

  submit_at(pool, system_clock::time_point::min(), [] {}).get();
  submit_at(pool, time_point<steady_clock, hours>::min(), [] {}).get();
  submit_after(pool, -for_ever, [] {}).get();

  EXPECT_FALSE(waits.wait_until(system_clock::time_point::min()));
  EXPECT_FALSE(waits.wait_for(hours::min()));
  EXPECT_EQ(empty.get_until(sys_seconds::min()), std::nullopt);
  EXPECT_THROW(waits.get_until(system_clock::time_point{}), timeout_error);
  unkept.set_value(1);
}

}  // namespace cadre::test
