// SPDX-License-Identifier: MIT
// map_options::call: how each chunk of a map is submitted.
#include <cadre/errors.hpp>
#include <cadre/executor.hpp>
#include <cadre/process_pool_executor.hpp>
#include <cadre/this_worker.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "conformance/executors.hpp"
#include "conformance/map_calls.hpp"
#include "support/gate.hpp"
#include "support/timeouts.hpp"
#include "support/unhandled_log.hpp"

namespace cadre::test {
namespace {

using namespace std::chrono_literals;

template <typename Traits>
class map_call_options : public testing::Test {};
TYPED_TEST_SUITE(map_call_options, pools, executor_names);

template <typename Traits>
class map_call_options_anywhere : public testing::Test {};
TYPED_TEST_SUITE(map_call_options_anywhere, all_executors, executor_names);

const std::vector<int> five{0, 1, 2, 3, 4};

map_options with(submit_options call, bool buffered = false) {
  map_options options{.chunk_size = 1, .call = std::move(call)};
  if (buffered) options.buffer_size = 5;
  return options;
}

/// Dies of the first of its elements that comes to the gate first.
struct die_once {
  gate_handle here;
  int operator()(int n) const {
    if (count_arrival(here) == 1) ::raise(SIGKILL);
    return n * n;
  }
};

int run_for_ever(int n) {
  while (n < 100) std::this_thread::yield();
  return n;
}

}  // namespace

TYPED_TEST(map_call_options, stop_token_ends_it_after_what_had_begun) {
  for (const bool buffered : {false, true}) {
    const gate here;
    const auto pool = TypeParam::make(1);
    std::stop_source source;
    auto results = pool->map(with({.stop_token = source.get_token(), .grace = long_time}, buffered),
                             square_but_block{here.handle(), 2}, five);

    here.await_arrivals(1);
    source.request_stop();
    here.open();

    EXPECT_EQ(all_before<cancelled_error>(results), (std::vector{0, 1, 4})) << buffered;
  }
}

TYPED_TEST(map_call_options, stop_token_lets_out_what_had_begun_in_any_order) {
  const gate here;
  const auto pool = TypeParam::make(1);
  std::stop_source source;
  auto options = with({.stop_token = source.get_token(), .grace = long_time}, true);
  options.ordered = false;
  auto results = pool->map(options, square_but_block{here.handle(), 0}, five);

  here.await_arrivals(1);
  source.request_stop();
  here.open();

  EXPECT_EQ(all_before<cancelled_error>(results), std::vector{0});
}

TYPED_TEST(map_call_options_anywhere, stop_token_that_is_stopped_keeps_all_from_running) {
  for (const bool buffered : {false, true}) {
    const gate here;
    const auto pool = TypeParam::make(2);
    std::stop_source source;
    source.request_stop();

    EXPECT_EQ(
        all_before<cancelled_error>(pool->map(with({.stop_token = source.get_token()}, buffered),
                                              arrive_at{here.handle()}, five)),
        std::vector<int>{});
    EXPECT_EQ(here.arrivals(), 0U) << buffered;
  }
}

TYPED_TEST(map_call_options, time_to_expire_ends_it) {
  for (const bool buffered : {false, true}) {
    const gate here;
    const auto pool = TypeParam::make(1);
    const auto busy = pool->submit(&pass, here.handle(), 0);
    here.await_arrivals(1);

    auto results = pool->map(with({.expires_in = short_time}, buffered), &square, five);

    EXPECT_EQ(all_before<timeout_error>(results), std::vector<int>{}) << buffered;
    here.open();
  }
}

TYPED_TEST(map_call_options, of_a_higher_priority_overtakes) {
  for (const bool buffered : {false, true}) {
    const gate here;
    const gate order;
    const auto pool = TypeParam::make(1);
    const auto busy = pool->submit(&pass, here.handle(), 0);
    here.await_arrivals(1);
    const auto count = [](gate_handle at, int) { return static_cast<int>(count_arrival(at)); };
    const std::vector<gate_handle> at(5, order.handle());

    auto later = pool->map(with({}, buffered), count, at, five);
    auto first = pool->map(with({.priority = 1}, buffered), count, at, five);
    here.open();

    // A worker process is given several calls ahead.
    const auto numbers = all_of(first);
    EXPECT_LT(numbers.back(), 10) << buffered;
    EXPECT_GT(all_of(later).back(), numbers.back()) << buffered;
  }
}

TYPED_TEST(map_call_options, name_and_limits_are_for_each_call) {
  const auto pool = TypeParam::make(2);
  submit_options call{.name = "square",
                      .priority = -1,
                      .expires_in = 1h,
                      .timeout = 1h,
                      .retries = 1,
                      .if_possible = true};
  for (const bool buffered : {false, true}) {
    EXPECT_EQ(all_of(pool->map(with(call, buffered), &square, five)),
              (std::vector{0, 1, 4, 9, 16}));
  }
}

TEST(map_call_options_of_threads, limits_that_need_processes_are_refused) {
  thread_pool_executor pool{1};
  for (const bool buffered : {false, true}) {
    EXPECT_THROW(
        static_cast<void>(pool.map(with({.timeout = 1s}, buffered), &square, five).begin()),
        std::invalid_argument);
    EXPECT_THROW(static_cast<void>(pool.map(with({.retries = 1}, buffered), &square, five).begin()),
                 std::invalid_argument);
    EXPECT_THROW(
        static_cast<void>(pool.map(with({.retries = 1}, buffered), &square, std::vector<int>{})),
        std::invalid_argument);
  }
}

TEST(map_call_options_of_threads, name_is_told_of_a_map_that_still_runs) {
  const gate here;
  auto pool = std::make_unique<thread_pool_executor>(1);
  auto results = pool->map({.chunk_size = 1, .call = {.name = "squares"}},
                           square_but_block{here.handle(), 0}, five);
  here.await_arrivals(1);

  const shutdown_report report = pool->shutdown({.deadline = 0s, .grace = 0s});

  EXPECT_FALSE(report.complete);
  EXPECT_EQ(report.names, std::vector<std::string>{"squares"});
  here.open();
  EXPECT_EQ(all_before<cancelled_error>(results), std::vector{0});
}

TEST(map_call_options_of_threads, elements_see_that_they_are_to_stop) {
  thread_pool_executor pool{1};
  std::stop_source source;
  const gate here;
  auto results = pool.map(
      {.chunk_size = 1, .call = {.stop_token = source.get_token()}},
      [at = here.handle()](int n) {
        arrive(at, 0);
        while (!this_worker::stop_token().stop_requested()) std::this_thread::yield();
        return n;
      },
      five);

  here.await_arrivals(1);
  source.request_stop();

  EXPECT_EQ(all_before<cancelled_error>(results), std::vector{0});
}

TEST(map_call_options_of_threads, elements_of_a_loop_that_runs_some_itself_see_it_too) {
  thread_pool_executor pool{1};
  std::stop_source source;
  std::vector<int> seen;
  auto results = pool.map(
      {.chunk_size = 1, .caller_runs = true, .call = {.stop_token = source.get_token()}},
      [&](int n) {
        source.request_stop();
        return this_worker::stop_token().stop_requested() ? n : -1;
      },
      five);

  EXPECT_THROW(for (const int n : results) seen.push_back(n), cancelled_error);
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.front(), 0);
}

TEST(map_call_options_of_threads, a_stop_that_is_still_being_told_to_others_begins_no_element) {
  const gate here;
  thread_pool_executor pool{1};
  const auto busy = pool.submit(&pass, here.handle(), 0);
  here.await_arrivals(1);
  std::stop_source source;
  std::atomic<int> begun{0};
  auto results = pool.map(
      {.chunk_size = 1, .call = {.stop_token = source.get_token()}}, [&](int) { return ++begun; },
      five);
  std::latch is_told{1};
  std::latch all_are_told{1};
  const std::stop_callback other{source.get_token(), [&] {
                                   is_told.count_down();
                                   all_are_told.wait();
                                 }};
  std::jthread stopper{[&] { source.request_stop(); }};
  is_told.wait();

  here.open();

  EXPECT_EQ(all_before<cancelled_error>(results), std::vector<int>{});
  EXPECT_EQ(begun, 0);
  all_are_told.count_down();
}

TEST(map_call_options_of_threads,
     all_elements_of_a_map_with_a_priority_run_though_the_pool_closes) {
  const gate here;
  auto pool = std::make_unique<thread_pool_executor>(1);
  auto results = pool->map({.chunk_size = 1, .call = {.priority = 3}},
                           square_but_block{here.handle(), 0}, five);
  here.await_arrivals(1);
  pool->shutdown({.wait = false});
  here.open();

  EXPECT_EQ(all_of(results), (std::vector{0, 1, 4, 9, 16}));
}

TEST(map_call_options_of_threads, map_with_a_priority_lets_calls_of_a_higher_one_go_first) {
  const gate here;
  thread_pool_executor pool{1};
  std::vector<int> order;  // of the one worker
  auto results = pool.map(
      {.chunk_size = 1, .call = {.priority = 1}},
      [&order, at = here.handle()](int n) {
        if (n == 0) pass(at, 0);
        const auto end = std::chrono::steady_clock::now() + 1ms;
        while (std::chrono::steady_clock::now() < end) {
        }
        order.push_back(n);
      },
      five);
  here.await_arrivals(1);
  auto urgent = pool.submit({.priority = 2}, [&] { order.push_back(-1); });
  here.open();
  results.wait();

  EXPECT_EQ(order, (std::vector{0, -1, 1, 2, 3, 4}));
}

TEST(map_call_options_of_processes, retries_run_a_chunk_again_whose_worker_died) {
  const gate here;
  process_pool_executor pool{1};

  EXPECT_EQ(all_of(pool.map(with({.retries = 1}), die_once{here.handle()}, five)),
            (std::vector{0, 1, 4, 9, 16}));
}

TEST(map_call_options_of_processes, who_caught_one_exception_is_told_of_no_other) {
  const unhandled_log log;
  const gate here;
  process_pool_executor pool{2};
  const auto fail = [](gate_handle at, int n) -> int {
    if (n == 0) return pass_and_throw(at);
    arrive(at, 0);
    while (n == 1) std::this_thread::yield();
    ::raise(SIGKILL);
    return n;
  };
  for (const int other : {1, 2}) {
    auto results = pool.map(with({.timeout = short_time, .grace = 1ms}), fail,
                            std::vector(2, here.handle()), std::vector{0, other});
    here.await_arrivals(2);
    here.admit(1);
    EXPECT_THROW(results.wait(), std::exception);
  }
  EXPECT_EQ(log.entries(), std::vector<std::string>{});
}

TEST(map_call_options_of_processes, time_limit_is_for_each_chunk_and_names_it) {
  process_pool_executor pool{1};
  auto results = pool.map(with({.name = "eternity", .timeout = short_time, .grace = 1ms}),
                          &run_for_ever, std::vector{100, 1});
  auto at = results.begin();
  EXPECT_EQ(*at, 100);
  try {
    ++at;
    FAIL() << "no timeout_error";
  } catch (const timeout_error& e) {
    EXPECT_NE(std::string{e.what()}.find("eternity"), std::string::npos) << e.what();
  }
}

}  // namespace cadre::test
