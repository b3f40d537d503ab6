// SPDX-License-Identifier: MIT
// Calls that wait until a thread runs them.
#include <cadre/errors.hpp>
#include <cadre/manual_executor.hpp>
#include <cadre/thread_pool_executor.hpp>
#include <cadre/wait.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/gate.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using namespace std::chrono_literals;

}  // namespace

TEST(manual_executor, runs_nothing_by_itself_and_then_one_by_one) {
  manual_executor here;
  const auto first = here.submit([] { return 1; });
  const auto second = here.submit([] { return 2; });
  EXPECT_FALSE(first.done());
  EXPECT_TRUE(here.run_one());
  EXPECT_EQ(first.get(), 1);
  EXPECT_FALSE(second.done());
  EXPECT_TRUE(here.run_one());
  EXPECT_FALSE(here.run_one());
  EXPECT_EQ(second.get(), 2);
}

TEST(manual_executor, runs_higher_priorities_first_and_equal_ones_in_their_order) {
  manual_executor here;
  std::vector<int> order;
  const auto note = [&order](int n) { order.push_back(n); };
  std::vector<future<void>> all;
  for (const auto& [priority, n] : {std::pair{0, 3}, {-1, 5}, {2, 1}, {0, 4}, {2, 2}}) {
    all.push_back(here.submit({.priority = priority}, note, n));
  }
  EXPECT_EQ(here.run_all(), 5U);
  EXPECT_EQ(order, (std::vector{1, 2, 3, 4, 5}));
}

TEST(manual_executor, runs_all_of_those_that_its_calls_submit) {
  manual_executor here;
  int runs = 0;
  std::function<void(int)> more = [&](int n) {
    ++runs;
    if (n > 0) here.post(more, n - 1);
  };
  here.post(more, 9);
  EXPECT_EQ(here.run_all(), 10U);
  EXPECT_EQ(runs, 10);
}

TEST(manual_executor, runs_what_comes_meanwhile_for_as_long_as_it_is_told_to) {
  manual_executor here;
  EXPECT_EQ(here.run_for(short_time), 0U);
  EXPECT_EQ(here.run_for(-1s), 0U);
  std::thread::id ran_on;
  std::jthread other{[&] { here.submit([&] { ran_on = std::this_thread::get_id(); }).wait(); }};
  while (here.run_for(short_time) == 0) {
  }
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST(manual_executor, skips_what_was_cancelled) {
  manual_executor here;
  const auto f = here.submit([] { return 1; });
  EXPECT_TRUE(f.cancel());
  EXPECT_FALSE(here.run_one());
  EXPECT_EQ(here.stats().cancelled, 1U);
  EXPECT_EQ(here.stats().pending, 0U);
}

TEST(manual_executor, keeps_what_calls_throw) {
  manual_executor here;
  const auto f = here.submit([]() -> int { throw std::domain_error{"as expected"}; });
  EXPECT_TRUE(here.run_one());
  EXPECT_THROW(f.get(), std::domain_error);
  EXPECT_EQ(here.stats().failed, 1U);
}

TEST(manual_executor, lets_a_call_wait_for_another_that_is_pending) {
  manual_executor here;
  const auto outer = here.submit([&] { return here.submit([] { return 20; }).get() + 1; });
  EXPECT_TRUE(here.run_one());
  EXPECT_EQ(outer.get(), 21);
  EXPECT_EQ(here.run_all(), 0U) << "it has been run";
  EXPECT_EQ(here.stats().finished, 2U);
}

TEST(manual_executor, tells_a_call_that_waits_for_itself) {
  manual_executor here;
  future<int> f;
  f = here.submit([&f] { return f.get(); });
  EXPECT_EQ(here.run_all(), 1U);
  EXPECT_THROW(f.get(), deadlock_error);

  manual_executor other;
  future<int> first;
  future<int> second;
  first = here.submit([&] { return other.run_all() == 1 ? second.get() : 0; });
  second = other.submit([&first] { return first.get(); });
  EXPECT_EQ(here.run_all(), 1U);
  EXPECT_THROW(first.get(), deadlock_error);
}

TEST(manual_executor, lets_a_call_wait_for_what_another_continues_there) {
  manual_executor here;
  const auto f = here.submit(
      [&] { return here.submit([] { return 7; }).then(here, [](int n) { return n + 1; }).get(); });
  EXPECT_TRUE(here.run_one());
  EXPECT_EQ(f.get(), 8);
}

TEST(manual_executor, ends_run_for_when_it_is_shut_down) {
  manual_executor here;
  std::jthread other{[&] { here.run_for(std::chrono::hours{1}); }};
  here.submit([] { return 1; }).wait();
  here.shutdown();
}

TEST(manual_executor, counts_what_is_cancelled_or_expires_at_once) {
  manual_executor here;
  const auto f = here.submit([] { return 1; });
  f.cancel();
  const auto late = here.submit({.expires_in = 1ms}, [] { return 1; });
  late.wait();
  EXPECT_EQ(here.stats().cancelled, 2U);
  EXPECT_EQ(here.stats().pending, 0U);
}

TEST(manual_executor, lets_a_worker_of_a_pool_run_it_and_wait_for_calls_of_that) {
  manual_executor here;
  thread_pool_executor pool{1};
  const auto outer = here.submit([&] { return pool.submit([] { return 20; }).get() + 1; });
  pool.submit([&] { here.run_all(); }).get();
  ASSERT_TRUE(outer.wait_for(long_time));
  EXPECT_EQ(outer.get(), 21);
}

TEST(manual_executor, maps_and_continues_there) {
  manual_executor here;
  thread_pool_executor pool{1};
  auto results = here.map([](int n) { return n * n; }, std::vector{1, 2, 3});
  here.run_all();
  std::vector<int> squares;
  for (const int n : results) squares.push_back(n);
  EXPECT_EQ(squares, (std::vector{1, 4, 9}));
  const auto f =
      pool.submit([] { return 1; }).then(here, [](int) { return std::this_thread::get_id(); });
  while (!f.done()) here.run_for(1ms);
  EXPECT_EQ(f.get(), std::this_thread::get_id());
}

TEST(manual_executor, runs_the_rest_when_it_is_shut_down_and_takes_no_more) {
  std::optional<manual_executor> here{std::in_place};
  const auto f = here->submit([] { return 1; });
  EXPECT_TRUE(here->shutdown().complete);
  EXPECT_EQ(f.get(), 1);
  EXPECT_THROW(static_cast<void>(here->submit([] { return 1; })), shutdown_error);
  here.reset();
  EXPECT_EQ(f.get(), 1);
}

TEST(manual_executor, cancels_the_rest_when_it_is_told_to_or_is_late) {
  manual_executor first;
  const auto cancelled = first.submit([] { return 1; });
  first.shutdown({.cancel_pending = true});
  EXPECT_TRUE(cancelled.cancelled());

  manual_executor second;
  const auto late = second.submit([] { return 1; });
  second.shutdown({.deadline = 0s});
  EXPECT_TRUE(late.cancelled());
}

TEST(manual_executor, tells_what_another_thread_still_runs_and_asks_it_to_stop) {
  const gate at;
  manual_executor here;
  const auto f = here.submit({.name = "endless"}, [h = at.handle()](std::stop_token stop) {
    arrive(h, 0);
    while (!stop.stop_requested()) std::this_thread::yield();
    return 1;
  });
  std::jthread other{[&] { here.run_one(); }};
  at.await_arrivals(1);
  EXPECT_EQ(here.stats().running, 1U);

  const auto report = here.shutdown({.deadline = 0s});

  EXPECT_FALSE(report.complete);
  EXPECT_EQ(report.names, std::vector<std::string>{"endless"});
  EXPECT_EQ(f.get(), 1);
}

TEST(manual_executor, keeps_to_the_limit_of_a_call) {
  manual_executor here;
  const auto f = here.submit({.expires_in = 1ms}, [] { return 1; });
  ASSERT_TRUE(f.wait_for(long_time));
  EXPECT_THROW(f.get(), timeout_error);
  EXPECT_EQ(here.run_all(), 0U);
}

TEST(manual_executor, may_be_run_by_several_threads) {
  constexpr int calls = 1000;
  manual_executor here;
  std::atomic<int> sum{0};
  std::vector<std::jthread> threads;
  std::atomic<bool> over{false};
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (!over) here.run_for(1ms);
    });
  }
  std::vector<future<void>> all;
  for (int i = 0; i < calls; ++i) all.push_back(here.submit([&sum, i] { sum += i; }));
  wait(all);
  over = true;
  threads.clear();
  EXPECT_EQ(sum, calls * (calls - 1) / 2);
  EXPECT_EQ(here.stats().finished, static_cast<std::uint64_t>(calls));
}

TEST(manual_executor, may_be_destroyed_by_its_own_last_call) {
  auto here = std::make_unique<manual_executor>();
  manual_executor* const raw = here.get();
  const auto f = here->submit([&] { here.reset(); });
  raw->run_one();
  EXPECT_TRUE(f.done());
}

}  // namespace cadre::test
