// SPDX-License-Identifier: MIT
// Timers of calls that stay in this process, and the thread that waits for all of them.
#include <cadre/errors.hpp>
#include <cadre/inline_executor.hpp>
#include <cadre/promise.hpp>
#include <cadre/thread_pool_executor.hpp>
#include <cadre/timer.hpp>
#include <cadre/wait.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <latch>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/gate.hpp"
#include "support/other_thread.hpp"
#include "support/timeouts.hpp"
#include "support/unhandled_log.hpp"

namespace cadre::test {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
constexpr std::chrono::hours never_in_a_test{1};

bool has_timer_thread() {
  for (const auto& task : std::filesystem::directory_iterator{"/proc/self/task"}) {
    std::string name;
    std::getline(std::ifstream{task.path() / "comm"}, name);
    if (name == "cadre-timers") return true;
  }
  return false;
}

/// True if `condition` holds within a reasonable time.
template <typename Condition>
bool becomes(Condition condition) {
  const auto limit = clock::now() + medium_time;
  while (!condition() && clock::now() < limit) std::this_thread::yield();
  return condition();
}

}  // namespace

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

TEST(timer_in_process, runs_of_a_series_never_overlap) {
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
  runs.wait();
  beat.cancel();
  pool.shutdown();

  EXPECT_FALSE(overlapped);
}

TEST(timer_in_process, at_a_fixed_rate_missed_runs_are_not_made_up_for) {
  constexpr milliseconds period{2};
  thread_pool_executor pool{1};
  std::vector<clock::time_point> begins;
  std::latch enough{12};

  const auto beat = submit_every(pool, period, [&] {
    if (begins.size() == 12) return;
    begins.push_back(clock::now());
    const auto until = begins.back() + 50 * period;
    while (begins.size() == 1 && clock::now() < until) std::this_thread::yield();
    enough.count_down();
  });
  enough.wait();
  beat.cancel();
  pool.shutdown();

  EXPECT_GE(begins[11] - begins[1], 9 * period);  // the second may have been late
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

TEST(timer_in_process, the_thread_ends_when_the_last_timer_is_cancelled) {
  thread_pool_executor pool{1};
  const auto f = submit_after(pool, never_in_a_test, [] {});
  const auto beat = submit_every(pool, never_in_a_test, [] {});
  EXPECT_TRUE(becomes([] { return has_timer_thread(); }));

  f.cancel();
  beat.cancel();

  EXPECT_TRUE(becomes([] { return !has_timer_thread(); }));
  EXPECT_EQ(submit_after(pool, milliseconds{1}, [] { return 42; }).get(), 42);
}

TEST(timer_in_process, an_executor_is_not_destroyed_while_a_timer_is_handed_to_it) {
  const gate here;
  auto executor = std::make_unique<inline_executor>();
  // Not sooner: a timer that is due when it is set runs here, where nobody would open the gate.
  const auto f = submit_after(*executor, milliseconds{100}, &pass, here.handle(), 42);
  here.await_arrivals(1);  // on the timer thread

  other_thread destroyer{[&] { executor.reset(); }};

  EXPECT_TRUE(destroyer.await_asleep());
  here.open();
  destroyer.join();
  EXPECT_EQ(f.get(), 42);
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
