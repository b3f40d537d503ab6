// SPDX-License-Identifier: MIT
// Tasks over an as_completed() that has a time limit.
#include <gtest/gtest.h>
#include <cadre/async_generator.hpp>
#include <cadre/coro.hpp>
#include <cadre/errors.hpp>
#include <cadre/inline_executor.hpp>
#include <cadre/promise.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <chrono>
#include <string>
#include <vector>

#include "coro/frames.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using std::chrono::nanoseconds;

class time_limit : public frames_test {};

task<int> sum_within(nanoseconds limit, std::vector<future<int>> all, counted = {}) {
  auto results = as_completed(std::move(all), limit);
  int sum = 0;
  while (auto f = co_await next_completed(results)) sum += f->get();
  co_return sum;
}

TEST_F(time_limit, ends_a_wait_that_is_suspended_with_timeout_error) {
  thread_pool_executor pool{1};
  promise<int> first;
  promise<int> never;
  first.set_value(1);
  auto f = spawn(pool, sum_within(short_time, {first.get_future(), never.get_future()}));

  EXPECT_EQ(pool.submit([] { return 42; }).get(), 42) << "the worker is free";

  try {
    f.get();
    ADD_FAILURE() << "it has a result";
  } catch (const timeout_error& e) {
    EXPECT_NE(std::string{e.what()}.find("1 (of 2) futures unfinished"), std::string::npos);
  }
}

TEST_F(time_limit, that_is_over_throws_at_once_but_for_what_is_done) {
  promise<int> done;
  promise<int> never;
  done.set_value(1);
  const auto ask = [](std::vector<future<int>> all) -> task<std::string> {
    auto results = as_completed(std::move(all), nanoseconds{-1});
    const auto f = co_await next_completed(results);
    std::string trace = std::to_string(f->get());
    try {
      co_await next_completed(results);
    } catch (const timeout_error&) {
      trace += " late";
    }
    co_return trace;
  };

  EXPECT_EQ(sync_wait(ask({never.get_future(), done.get_future()})), "1 late");
}

TEST_F(time_limit, counts_from_the_as_completed_and_not_from_the_await) {
  thread_pool_executor pool{1};
  promise<int> never;
  auto results = as_completed(std::vector{never.get_future()}, short_time);
  EXPECT_THROW(results.next(), timeout_error);
  const auto ask = [&]() -> task<> { co_await next_completed(results); };

  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THROW(spawn(pool, ask).get(), timeout_error);

  EXPECT_LT(std::chrono::steady_clock::now() - begin, medium_time);
}

TEST_F(time_limit, leaves_the_rest_to_be_asked_for) {
  thread_pool_executor pool{1};
  promise<int> late;
  const auto ask = [&]() -> task<int> {
    auto results = as_completed(std::vector{late.get_future()}, short_time);
    try {
      co_await next_completed(results);
    } catch (const timeout_error&) {
      late.set_value(42);
    }
    const auto f = co_await next_completed(results);
    co_return f->get();
  };

  EXPECT_EQ(spawn(pool, ask).get(), 42);
}

TEST_F(time_limit, does_not_hold_up_a_result_that_comes_in_time) {
  thread_pool_executor pool{1};
  promise<int> p;
  auto f = spawn(pool, sum_within(std::chrono::hours{1}, {p.get_future()}));
  pool.submit([] {}).get();

  p.set_value(42);

  EXPECT_EQ(f.get_for(long_time), 42);
}

TEST_F(time_limit, does_not_hold_up_a_stop) {
  thread_pool_executor pool{1};
  promise<int> never;
  auto f = spawn(pool, sum_within(std::chrono::hours{1}, {never.get_future()}));
  pool.submit([] {}).get();

  f.request_stop();

  EXPECT_THROW(f.get_for(long_time), cancelled_error);
}

TEST_F(time_limit, ends_a_sync_wait) {
  promise<int> never;

  EXPECT_THROW(sync_wait(sum_within(short_time, {never.get_future()})), timeout_error);
}

TEST_F(time_limit, on_an_inline_executor_goes_on_with_the_timers) {
  inline_executor here;
  promise<int> never;
  const auto f = spawn(here, sum_within(short_time, {never.get_future()}));

  EXPECT_THROW(f.get_for(long_time), timeout_error);
  EXPECT_TRUE(f.done());
}

async_generator<int> each_within(nanoseconds limit, std::vector<future<int>> all, counted = {}) {
  auto results = as_completed(std::move(all), limit);
  while (auto f = co_await next_completed(results)) co_yield f->get();
}

TEST_F(time_limit, within_a_generator_ends_that) {
  thread_pool_executor pool{1};
  promise<int> first;
  promise<int> never;
  first.set_value(1);
  const auto read = [](std::vector<future<int>> all) -> task<std::string> {
    auto values = each_within(short_time, std::move(all));
    std::string trace;
    try {
      while (auto v = co_await values.next()) trace += std::to_string(*v);
    } catch (const timeout_error&) {
      trace += " late";
    }
    co_return trace + ((co_await values.next()) ? " more" : " end");
  };

  EXPECT_EQ(spawn(pool, read({first.get_future(), never.get_future()})).get(), "1 late end");
}

// Results, limits and stops of about the same time: each task ends once, in one of three ways.
TEST_F(time_limit, racing_with_a_result_and_a_stop_goes_on_once) {
  thread_pool_executor pool{2};
  for (int i = 0; i < 3000; ++i) {
    promise<int> p;
    auto f = spawn(pool, sum_within(std::chrono::microseconds{i % 60}, {p.get_future()}));
    auto stop = pool.submit([&f, i] { return i % 3 == 0 && f.request_stop(); });
    const auto due = std::chrono::steady_clock::now() + std::chrono::microseconds{i % 50};
    while (std::chrono::steady_clock::now() < due) {
    }
    p.set_value(1);
    stop.get();
    try {
      EXPECT_EQ(f.get_for(long_time), 1);
    } catch (const cancelled_error&) {
    } catch (const timeout_error&) {
      ASSERT_TRUE(f.done());
    }
  }
}

}  // namespace
}  // namespace cadre::test
