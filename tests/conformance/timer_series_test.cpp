// SPDX-License-Identifier: MIT
// submit_every: how a series ends, and cancel_and_wait().
#include <cadre/errors.hpp>
#include <cadre/timer.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <thread>

#include "conformance/executors.hpp"
#include "support/gate.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using std::chrono::milliseconds;

template <typename Traits>
class timer_series : public testing::Test {};
TYPED_TEST_SUITE(timer_series, all_executors, executor_names);

template <typename Traits>
class timer_series_here : public testing::Test {};
TYPED_TEST_SUITE(timer_series_here, local_executors, executor_names);

series end_at_the_third(gate_handle at) {
  return count_arrival(at) == 3 ? series::ends : series::goes_on;
}

repeat_options each_millisecond() { return {.period = milliseconds{1}}; }

}  // namespace

TYPED_TEST(timer_series, is_finished_after_so_many_runs) {
  const gate here;
  const auto executor = TypeParam::make(1);
  auto options = each_millisecond();
  options.runs = 3;

  const auto all = submit_every(*executor, options, &arrive, here.handle(), 0);

  ASSERT_TRUE(all.wait_for(long_time));
  EXPECT_FALSE(all.cancelled());
  EXPECT_NO_THROW(all.get());
  EXPECT_EQ(here.arrivals(), 3U);
}

TYPED_TEST(timer_series, runs_once_if_its_period_is_the_longest_time) {
  for (const repeat how : {repeat::fixed_rate, repeat::fixed_delay}) {
    const gate here;
    const auto executor = TypeParam::make(1);
    repeat_options options{.period = std::chrono::nanoseconds::max(),
                           .first_after = milliseconds{0}};
    options.repeat = how;

    auto all = submit_every(*executor, options, &arrive, here.handle(), 0);
    here.await_arrivals(1);

    EXPECT_FALSE(all.wait_for(short_time));
    EXPECT_EQ(here.arrivals(), 1U);
    EXPECT_TRUE(all.cancel());
  }
}

TYPED_TEST(timer_series, is_finished_by_a_run_that_says_so) {
  const gate here;
  const auto executor = TypeParam::make(1);

  const auto all = submit_every(*executor, each_millisecond(), &end_at_the_third, here.handle());

  ASSERT_TRUE(all.wait_for(long_time));
  EXPECT_NO_THROW(all.get());
  EXPECT_EQ(here.arrivals(), 3U);
}

TYPED_TEST(timer_series, of_no_runs_is_refused) {
  const auto executor = TypeParam::make(1);
  auto options = each_millisecond();
  options.runs = 0;
  EXPECT_THROW(static_cast<void>(submit_every(*executor, options, &multiply, 6, 7)),
               std::invalid_argument);
}

TYPED_TEST(timer_series, that_is_cancelled_and_waited_for_runs_no_more) {
  const gate here;
  const auto executor = TypeParam::make(2);
  for (int round = 0; round < 20; ++round) {
    const auto all = submit_every(*executor, each_millisecond(), &arrive, here.handle(), 0);
    here.await_arrivals(here.arrivals() + 1);

    cancel_and_wait(all);

    const unsigned seen = here.arrivals();
    EXPECT_TRUE(all.cancelled());
    std::this_thread::yield();
    EXPECT_EQ(here.arrivals(), seen);
  }
}

// What the function refers to is gone at once: AddressSanitizer looks on.
TYPED_TEST(timer_series_here, that_is_cancelled_and_waited_for_uses_nothing_any_more) {
  const auto executor = TypeParam::make(2);
  for (int round = 0; round < 200; ++round) {
    auto runs = std::make_unique<std::atomic<int>>(0);
    auto in_run = std::make_unique<std::atomic<int>>(0);
    const auto all = submit_every(*executor, std::chrono::microseconds{10}, [&] {
      ++*in_run;
      ++*runs;
      std::this_thread::yield();
      --*in_run;
    });
    while (*runs < round % 3) std::this_thread::yield();

    cancel_and_wait(all);

    EXPECT_EQ(*in_run, 0);
    runs.reset();
    in_run.reset();
  }
}

TEST(timer_series_on_threads, waits_for_the_run_that_runs_and_asks_it_to_stop) {
  thread_pool_executor pool{2};
  const gate here;
  std::atomic<bool> ended{false};
  const auto all =
      submit_every(pool, milliseconds{1}, [&, at = here.handle()](std::stop_token stop) {
        arrive(at, 0);
        while (!stop.stop_requested()) std::this_thread::yield();
        ended = true;
      });
  here.await_arrivals(1);

  cancel_and_wait(all);

  EXPECT_TRUE(ended);
}

TEST(timer_series_on_threads, that_waits_for_itself_says_so) {
  thread_pool_executor pool{1};
  std::atomic<bool> refused{false};
  future<void> all;
  const gate here;
  all = submit_every(pool, milliseconds{1}, [&, at = here.handle()] {
    pass(at, 0);
    try {
      cancel_and_wait(all);
    } catch (const deadlock_error&) {
      refused = true;
    }
  });
  here.open();
  all.wait();
  pool.shutdown();
  EXPECT_TRUE(refused);
}

TEST(cancel_and_wait, of_a_call_waits_for_its_end) {
  thread_pool_executor pool{1};
  const gate here;
  std::atomic<bool> ended{false};
  const auto f = pool.submit([&, at = here.handle()](std::stop_token stop) {
    arrive(at, 0);
    while (!stop.stop_requested()) std::this_thread::yield();
    ended = true;
    return 1;
  });
  const auto pending = pool.submit([] { return 2; });
  here.await_arrivals(1);

  cancel_and_wait(pending);
  cancel_and_wait(f);

  EXPECT_TRUE(ended);
  EXPECT_TRUE(pending.cancelled());
  EXPECT_EQ(f.get(), 1);
}

}  // namespace cadre::test
