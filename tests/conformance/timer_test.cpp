// SPDX-License-Identifier: MIT
// Calls whose time is yet to come.
#include <cadre/errors.hpp>
#include <cadre/promise.hpp>
#include <cadre/timer.hpp>
#include <cadre/wait.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "conformance/executors.hpp"
#include "support/gate.hpp"
#include "support/other_thread.hpp"
#include "support/timeouts.hpp"
#include "support/unhandled_log.hpp"

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

  executor->shutdown();  // which waits for the run: it would last for ever
  EXPECT_EQ(here.arrivals(), 1U);
}

// --- in this process ---

TEST(timer_in_process, takes_any_callable_and_argument) {
  thread_pool_executor pool{1};
  std::string text;

  submit_after(
      pool, milliseconds{1},
      [&text, p = std::make_unique<int>(7)](std::unique_ptr<int> q) {
        text = std::to_string(*p * *q);
      },
      std::make_unique<int>(6))
      .get();

  EXPECT_EQ(text, "42");
}

TEST(timer_in_process, a_series_calls_one_function_object) {
  thread_pool_executor pool{2};
  std::latch five{5};
  std::vector<int> seen;

  const auto beat =
      submit_every(pool, milliseconds{1}, [&, n = std::make_unique<int>(0)]() mutable {
        if (*n == 5) return;
        seen.push_back((*n)++);
        five.count_down();
      });
  five.wait();
  beat.cancel();
  pool.shutdown();

  EXPECT_EQ(seen, (std::vector{0, 1, 2, 3, 4}));
}

TEST(timer_in_process, of_the_same_time_they_keep_their_order) {
  thread_pool_executor pool{1};
  const auto due = clock::now() + short_time;
  std::vector<int> order;
  std::vector<future<void>> all;
  for (int i = 0; i < 100; ++i) {
    all.push_back(submit_at(pool, due, [&order, i] { order.push_back(i); }));
  }

  wait(all);

  EXPECT_TRUE(std::ranges::is_sorted(order));
  EXPECT_EQ(order.size(), 100U);
}

TEST(timer_in_process, fires_by_time_whatever_the_order_of_setting) {
  thread_pool_executor pool{1};
  const auto begin = clock::now() + short_time;
  std::vector<int> offsets(500);
  for (int i = 0; i < 500; ++i) offsets[static_cast<std::size_t>(i)] = i;
  std::shuffle(offsets.begin(), offsets.end(), std::minstd_rand{1});
  std::vector<int> order;
  std::vector<future<void>> all;
  for (const int i : offsets) {
    all.push_back(submit_at(pool, begin + i * std::chrono::microseconds{10},
                            [&order, i] { order.push_back(i); }));
  }

  wait(all);

  EXPECT_TRUE(std::ranges::is_sorted(order));
}

// The best of some, since the machine may be busy; the thread cannot be early by chance.
TEST(timer_in_process, is_exact_to_a_millisecond) {
  thread_pool_executor pool{1};
  clock::duration least = std::chrono::hours{1};
  for (int i = 0; i < 50 && least > milliseconds{1}; ++i) {
    const auto due = clock::now() + milliseconds{3};
    const auto ran = submit_at(pool, due, [] { return clock::now(); }).get();
    EXPECT_GE(ran, due);
    least = std::min(least, ran - due);
  }

  EXPECT_LT(least, milliseconds{1});
}

TEST(timer_in_process, a_hundred_thousand_are_set_fired_and_cancelled_in_time) {
  constexpr int count = 100'000;
  thread_pool_executor pool{1};
  std::atomic<int> ran{0};
  std::minstd_rand random{7};
  const auto begin = clock::now();
  std::vector<future<void>> all;
  for (int i = 0; i < count; ++i) {
    const bool soon = i % 2 == 0;
    const auto delay =
        soon ? milliseconds{1 + static_cast<int>(random() % 100)} : milliseconds{3'600'000};
    all.push_back(submit_after(pool, delay, [&ran] { ++ran; }));
  }
  for (std::size_t i = 1; i < all.size(); i += 2) EXPECT_TRUE(all[i].cancel());
  wait(all);

  EXPECT_EQ(ran.load(), count / 2);
  EXPECT_LT(clock::now() - begin, long_time);
}

TEST(timer_in_process, what_a_cancelled_one_captured_is_destroyed_at_once) {
  thread_pool_executor pool{1};
  auto captured = std::make_shared<int>(1);
  const std::weak_ptr<int> alive = captured;
  const auto f = submit_after(pool, never_in_a_test, [captured = std::move(captured)] {});
  ASSERT_FALSE(alive.expired());

  f.cancel();

  EXPECT_TRUE(alive.expired());
}

TEST(timer_in_process, what_a_cancelled_series_captured_is_destroyed_at_once) {
  thread_pool_executor pool{1};
  auto captured = std::make_shared<int>(1);
  const std::weak_ptr<int> alive = captured;
  const auto f = submit_every(pool, never_in_a_test, [captured = std::move(captured)] {});
  ASSERT_FALSE(alive.expired());

  f.cancel();

  EXPECT_TRUE(alive.expired());
}

TEST(timer_in_process, at_a_fixed_rate_runs_that_are_too_late_are_left_out) {
  thread_pool_executor pool{2};
  std::atomic<int> under_way{0};
  std::atomic<bool> overlapped{false};
  std::latch runs{4};
  std::atomic<int> begun{0};

  const auto beat = submit_every(pool, milliseconds{1}, [&] {
    if (under_way.fetch_add(1) != 0) overlapped = true;
    const auto until = clock::now() + milliseconds{10};
    while (clock::now() < until) std::this_thread::yield();
    --under_way;
    if (begun.fetch_add(1) < 4) runs.count_down();
  });
  const auto begin = clock::now();
  runs.wait();
  beat.cancel();
  pool.shutdown();

  EXPECT_FALSE(overlapped);
  EXPECT_GE(clock::now() - begin, milliseconds{40});
}

TEST(timer_in_process, a_full_pool_takes_the_calls_of_timers) {
  const gate here;
  thread_pool_executor pool{{.max_workers = 1, .max_pending = 1}};
  const auto busy = pool.submit(&pass, here.handle(), 1);
  here.await_arrivals(1);
  const auto queued = pool.submit([] {});  // full

  const auto first = submit_after(pool, milliseconds{1}, [] { return 1; });
  thread_pool_executor other{1};
  EXPECT_EQ(submit_after(other, milliseconds{2}, [] { return 2; }).get_for(medium_time), 2);
  here.open();

  EXPECT_EQ(first.get(), 1);
  queued.get();
  for (int i = 0; i < 10; ++i) pool.submit([] {}).get();  // there is room again
}

TEST(timer_in_process, a_pool_that_rejects_rejects_the_calls_of_timers) {
  const gate here;
  thread_pool_executor pool{{.max_workers = 1, .max_pending = 1, .when_full = when_full::reject}};
  const auto busy = pool.submit(&pass, here.handle(), 1);
  here.await_arrivals(1);
  const auto queued = pool.submit([] {});

  const auto rejected = submit_after(pool, milliseconds{1}, [] {});

  EXPECT_THROW(rejected.get(), queue_full);
  here.open();
}

TEST(timer_in_process, a_worker_may_wait_for_a_timer_of_its_own_pool) {
  thread_pool_executor pool{1};

  const auto outer =
      pool.submit([&] { return submit_after(pool, milliseconds{1}, [] { return 42; }).get(); });

  EXPECT_EQ(outer.get_for(long_time), 42);
}

TEST(timer_in_process, a_call_may_set_the_next_one_while_its_pool_is_destroyed) {
  future<void> last;
  {
    const gate here;
    thread_pool_executor pool{1};
    const auto first = pool.submit([&] {
      pass(here.handle(), 0);
      last = submit_after(pool, never_in_a_test, [] {});
    });
    here.await_arrivals(1);
    here.open();
  }

  EXPECT_THROW(last.get_for(medium_time), shutdown_error);
}

TEST(timer_in_process, nobody_is_told_of_those_that_a_shutdown_ended_unless_he_asks) {
  const unhandled_log log;
  {
    thread_pool_executor pool{1};
    static_cast<void>(submit_after(pool, never_in_a_test, [] {}));
    static_cast<void>(submit_every(pool, never_in_a_test, [] {}));
  }

  EXPECT_TRUE(log.entries().empty());
}

TEST(timer_in_process, a_run_may_cancel_its_own_series) {
  thread_pool_executor pool{1};
  std::latch set{1};
  std::latch ran{1};
  std::atomic<int> runs{0};
  future<void> beat;
  beat = submit_every(pool, milliseconds{1}, [&] {
    set.wait();
    if (++runs > 1) return;
    beat.cancel();
    ran.count_down();
  });
  set.count_down();
  ran.wait();
  pool.shutdown();

  EXPECT_TRUE(beat.cancelled());
  EXPECT_EQ(runs.load(), 1);
}

TEST(timer_in_process, a_run_of_a_series_may_destroy_the_pool) {
  auto pool = std::make_unique<thread_pool_executor>(1);
  thread_pool_executor& where = *pool;
  std::latch ready{1};
  auto destroyed = std::make_shared<promise<void>>();
  const auto gone = destroyed->get_future();
  const auto beat = submit_every(where, milliseconds{1}, [&ready, &pool, destroyed] {
    ready.wait();
    pool.reset();
    destroyed->set_value();
  });
  ready.count_down();

  gone.get();

  EXPECT_THROW(beat.get_for(medium_time), shutdown_error);
}

TEST(timer_in_process, the_pool_counts_its_call_as_its_own) {
  thread_pool_executor pool{1};
  submit_after(pool, milliseconds{1}, [] {}).get();
  const auto bad = submit_after(pool, milliseconds{1}, [] { throw std::domain_error{"counted"}; });
  EXPECT_THROW(bad.get(), std::domain_error);
  pool.shutdown();

  EXPECT_EQ(pool.stats().finished, 1U);
  EXPECT_EQ(pool.stats().failed, 1U);
}

TEST(timer_in_process, a_shutdown_with_a_deadline_stops_the_call_of_a_timer) {
  thread_pool_executor pool{1};
  std::latch running{1};
  const auto f = submit_after(pool, milliseconds{1}, {.name = "slow"}, [&](std::stop_token stop) {
    running.count_down();
    while (!stop.stop_requested()) std::this_thread::yield();
  });
  running.wait();

  const auto report = pool.shutdown({.deadline = milliseconds{1}, .grace = long_time});

  EXPECT_TRUE(report.complete);
  EXPECT_TRUE(f.done());
}

// Found with timers: a then-future whose call was dropped with the pool's queue was never done.
TEST(timer_in_process, then_calls_that_a_pool_drops_are_cancelled) {
  const gate here;
  thread_pool_executor pool{1};
  const auto busy = pool.submit(&pass, here.handle(), 1);
  here.await_arrivals(1);
  promise<int> p;
  const auto next = p.get_future().then(pool, [](int n) { return n; });
  const auto due = submit_after(pool, milliseconds{1}, [] {});
  p.set_value(1);

  pool.shutdown({.wait = false, .cancel_pending = true});
  here.open();

  EXPECT_THROW(next.get_for(medium_time), cancelled_error);
  due.wait_for(medium_time);
  EXPECT_TRUE(due.done());
}

}  // namespace cadre::test
