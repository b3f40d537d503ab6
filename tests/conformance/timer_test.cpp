// SPDX-License-Identifier: MIT
// Calls whose time is yet to come.
#include <cadre/errors.hpp>
#include <cadre/timer.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "conformance/executors.hpp"
#include "support/gate.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
constexpr std::chrono::hours never_in_a_test{1};

template <typename Traits>
class timer : public testing::Test {};
TYPED_TEST_SUITE(timer, all_executors, executor_names);

template <typename Traits>
class timer_in_pools : public testing::Test {};
TYPED_TEST_SUITE(timer_in_pools, pools, executor_names);

std::size_t length_of(const std::string& text) { return text.size(); }

int fail_always(int) { throw std::domain_error{"as expected"}; }

int until_stopped(std::stop_token stop, gate_handle at) {
  pass(at, 0);
  const auto limit = clock::now() + long_time;
  while (!stop.stop_requested() && clock::now() < limit) std::this_thread::yield();
  return stop.stop_requested() ? 1 : 0;
}

}  // namespace

// --- submit_after, submit_at ---

TYPED_TEST(timer, a_call_runs_when_its_time_has_come_and_not_before) {
  const auto executor = TypeParam::make(1);
  const auto begin = clock::now();

  const auto f = submit_after(*executor, short_time, &multiply, 6, 7);

  EXPECT_EQ(f.get(), 42);
  EXPECT_GE(clock::now() - begin, short_time);
}

TYPED_TEST(timer, takes_a_lambda_that_might_capture_and_does_not) {
  const auto executor = TypeParam::make(1);
  auto options = repeat_options{.period = milliseconds{1}};
  options.runs = 1;
  const auto all = submit_every(*executor, options, [&] {});
  ASSERT_TRUE(all.wait_for(long_time));
}

TYPED_TEST(timer, a_literal_is_a_string_as_in_submit) {
  const auto executor = TypeParam::make(1);

  EXPECT_EQ(submit_after(*executor, milliseconds{1}, &length_of, "literal").get(), 7U);
  EXPECT_EQ(submit_at(*executor, clock::now(), {.name = "named"}, &length_of, "literal").get(), 7U);
  auto series = submit_every(*executor, milliseconds{1}, &length_of, "literal");
  series.cancel();
}

TYPED_TEST(timer, a_time_of_any_clock_will_do) {
  const auto executor = TypeParam::make(1);

  EXPECT_EQ(
      submit_at(*executor, std::chrono::system_clock::now() + milliseconds{1}, &multiply, 6, 7)
          .get(),
      42);
  EXPECT_EQ(submit_at(*executor, clock::now() + milliseconds{1}, &multiply, 2, 3).get(), 6);
}

TYPED_TEST(timer, a_time_that_is_past_is_now) {
  const auto executor = TypeParam::make(1);

  const auto f = submit_at(*executor, clock::time_point::min(), &multiply, 6, 7);
  const auto g = submit_after(*executor, std::chrono::seconds{-1}, &multiply, 2, 3);

  EXPECT_EQ(f.get(), 42);
  EXPECT_EQ(g.get(), 6);
}

TYPED_TEST(timer, what_the_call_throws_is_in_its_future) {
  const auto executor = TypeParam::make(1);

  const auto f = submit_after(*executor, milliseconds{1}, &divide, 1, 0);

  EXPECT_THROW(f.get(), std::domain_error);
}

TYPED_TEST(timer, cancelled_before_its_time_it_never_runs) {
  const gate here;
  const auto executor = TypeParam::make(1);
  const auto f = submit_after(*executor, short_time, &arrive, here.handle(), 1);

  EXPECT_FALSE(f.running());
  EXPECT_TRUE(f.cancel());

  EXPECT_TRUE(f.cancelled());
  EXPECT_THROW(f.get(), cancelled_error);
  submit_after(*executor, 2 * short_time, &multiply, 1, 1).get();
  EXPECT_EQ(here.arrivals(), 0U);
}

TYPED_TEST(timer, its_stop_token_cancels_it) {
  const auto executor = TypeParam::make(1);
  std::stop_source stop;
  const auto f =
      submit_after(*executor, never_in_a_test, {.stop_token = stop.get_token()}, &multiply, 6, 7);

  stop.request_stop();

  EXPECT_TRUE(f.cancelled());
}

TYPED_TEST(timer, with_a_token_that_is_stopped_already_it_is_cancelled) {
  const auto executor = TypeParam::make(1);
  std::stop_source stop;
  stop.request_stop();

  const auto f =
      submit_after(*executor, milliseconds{1}, {.stop_token = stop.get_token()}, &multiply, 6, 7);

  EXPECT_TRUE(f.cancelled());
}

TYPED_TEST(timer, shutdown_fails_those_to_come_at_once) {
  const auto executor = TypeParam::make(1);
  const auto f = submit_after(*executor, never_in_a_test, &multiply, 6, 7);
  const auto beat = submit_every(*executor, never_in_a_test, &multiply, 6, 7);

  executor->shutdown();

  EXPECT_THROW(f.get_for(medium_time), shutdown_error);
  EXPECT_THROW(beat.get_for(medium_time), shutdown_error);
}

TYPED_TEST(timer, on_an_executor_that_is_shut_down_its_future_fails) {
  const auto executor = TypeParam::make(1);
  executor->shutdown();

  const auto later = submit_after(*executor, milliseconds{1}, &multiply, 6, 7);
  const auto now = submit_after(*executor, milliseconds{0}, &multiply, 6, 7);
  const auto beat = submit_every(*executor, milliseconds{1}, &multiply, 6, 7);

  EXPECT_THROW(later.get_for(medium_time), shutdown_error);
  EXPECT_THROW(now.get_for(medium_time), shutdown_error);
  EXPECT_THROW(beat.get_for(medium_time), shutdown_error);
}

TYPED_TEST(timer, outlives_its_executor_as_a_future_that_failed) {
  auto executor = TypeParam::make(1);
  const auto f = submit_after(*executor, never_in_a_test, &multiply, 6, 7);
  const auto beat = submit_every(*executor, never_in_a_test, &multiply, 6, 7);

  executor.reset();

  EXPECT_THROW(f.get_for(medium_time), shutdown_error);
  EXPECT_THROW(beat.get_for(medium_time), shutdown_error);
}

TYPED_TEST(timer, an_executor_may_be_destroyed_while_its_timers_fire) {
  for (int round = 0; round < 5; ++round) {
    std::vector<future<int>> calls;
    std::vector<future<void>> series;
    {
      const auto executor = TypeParam::make(1);
      for (int i = 0; i < 40; ++i) {
        calls.push_back(
            submit_after(*executor, std::chrono::microseconds{100 * i}, &multiply, i, 1));
      }
      for (int i = 0; i < 4; ++i) {
        series.push_back(submit_every(*executor, milliseconds{1}, &multiply, i, 1));
      }
      calls[static_cast<std::size_t>(8 * round)].wait();
    }
    for (const auto& f : calls) EXPECT_TRUE(f.done());
    for (const auto& f : series) EXPECT_THROW(f.get_for(medium_time), shutdown_error);
  }
}

TYPED_TEST(timer_in_pools, request_stop_reaches_the_running_call) {
  const gate here;
  const auto executor = TypeParam::make(1);
  const auto f = submit_after(*executor, milliseconds{1}, &until_stopped, here.handle());
  here.await_arrivals(1);
  EXPECT_TRUE(f.running());
  EXPECT_FALSE(f.cancel());
  here.open();

  EXPECT_TRUE(f.request_stop());

  EXPECT_EQ(f.get(), 1);
}

TYPED_TEST(timer_in_pools, request_stop_reaches_one_that_waits_behind_others) {
  const gate here;
  const auto executor = TypeParam::make(1);
  const auto busy = executor->submit(&pass, here.handle(), 1);
  here.await_arrivals(1);
  const auto behind = submit_after(*executor, milliseconds{1}, &multiply, 6, 7);
  submit_after(*executor, milliseconds{1}, &multiply, 1, 1).wait_for(short_time);

  EXPECT_TRUE(behind.request_stop());
  here.open();

  EXPECT_THROW(behind.get(), cancelled_error);
  EXPECT_EQ(busy.get(), 1);
}

// --- submit_every ---

TYPED_TEST(timer, submit_every_runs_until_it_is_cancelled) {
  const gate here;
  const auto executor = TypeParam::make(1);

  const auto beat = submit_every(*executor, milliseconds{1}, &arrive, here.handle(), 1);
  here.await_arrivals(5);
  EXPECT_FALSE(beat.done());

  EXPECT_TRUE(beat.cancel());

  executor->shutdown();  // the run under way ends
  const unsigned arrivals = here.arrivals();
  EXPECT_TRUE(beat.cancelled());
  EXPECT_EQ(here.arrivals(), arrivals);
}

TYPED_TEST(timer, submit_every_ends_with_what_a_run_throws) {
  const auto executor = TypeParam::make(1);

  const auto beat = submit_every(*executor, milliseconds{1}, &fail_always, 1);

  EXPECT_THROW(beat.get_for(long_time), std::domain_error);
}

TYPED_TEST(timer, submit_every_takes_a_first_time_and_both_ways_to_measure) {
  for (const repeat how : {repeat::fixed_rate, repeat::fixed_delay}) {
    const gate here;
    const auto executor = TypeParam::make(1);

    const auto begin = clock::now();
    const auto beat = submit_every(
        *executor,
        {.period = 4 * milliseconds{1}, .repeat = how, .first_after = std::chrono::seconds{0}},
        &arrive, here.handle(), 1);
    here.await_arrivals(4);

    EXPECT_GE(clock::now() - begin, 3 * 4 * milliseconds{1});
    beat.cancel();
  }
}

TYPED_TEST(timer, a_period_must_be_greater_than_zero) {
  const auto executor = TypeParam::make(1);

  EXPECT_THROW(static_cast<void>(submit_every(*executor, milliseconds{0}, &multiply, 6, 7)),
               std::invalid_argument);
  EXPECT_THROW(static_cast<void>(submit_every(*executor, milliseconds{-1}, &multiply, 6, 7)),
               std::invalid_argument);
}

TYPED_TEST(timer, an_empty_callable_is_refused) {
  const auto executor = TypeParam::make(1);
  int (*const nothing)(int) = nullptr;

  EXPECT_THROW(static_cast<void>(submit_after(*executor, milliseconds{1}, nothing, 1)),
               std::invalid_argument);
  EXPECT_THROW(static_cast<void>(submit_every(*executor, milliseconds{1}, nothing, 1)),
               std::invalid_argument);
}

TYPED_TEST(timer_in_pools, cancelling_a_series_stops_the_run_under_way) {
  const gate here;
  const auto executor = TypeParam::make(1);
  const auto beat = submit_every(*executor, milliseconds{1}, &until_stopped, here.handle());
  here.await_arrivals(1);
  here.open();

  EXPECT_TRUE(beat.cancel());

  const auto begin = clock::now();
  executor->shutdown();  // which waits for the run
  EXPECT_LT(clock::now() - begin, long_time / 2);
  EXPECT_EQ(here.arrivals(), 1U);
}

}  // namespace cadre::test
