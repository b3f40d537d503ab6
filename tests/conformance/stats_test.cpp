// SPDX-License-Identifier: MIT
// stats(): what they tell of the times that calls took.
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>
#include <cadre/stats.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "conformance/example_futures.hpp"
#include "conformance/executors.hpp"
#include "support/gate.hpp"
#include "support/unhandled_log.hpp"

namespace cadre::test {
namespace {

template <typename Traits>
class stats_of : public testing::Test {};
TYPED_TEST_SUITE(stats_of, pools, executor_names);

constexpr std::chrono::milliseconds a_while{5};

int be_busy_for_a_while() {
  const auto end = std::chrono::steady_clock::now() + a_while;
  int turns = 0;
  while (std::chrono::steady_clock::now() < end) ++turns;
  return turns;
}

int same(int n) { return n; }

TYPED_TEST(stats_of, slow_calls_have_the_times_of_each) {
  constexpr std::uint64_t calls = 8;
  const auto executor = TypeParam::make(1);
  for (std::uint64_t i = 0; i < calls; ++i) executor->submit(&be_busy_for_a_while).get();

  const auto told = executor->stats();

  EXPECT_EQ(told.run_time.samples, calls);
  EXPECT_GE(told.run_time.p50, a_while);
}

// One in 32 is measured, which then counts for 32.
TYPED_TEST(stats_of, fast_calls_count_about_as_often_as_they_ran) {
  constexpr int calls = 4096;
  const auto executor = TypeParam::make(1);
  for (int i = 0; i < calls; ++i) executor->submit(&same, i).get();

  const auto told = executor->stats();

  EXPECT_NEAR(static_cast<double>(told.run_time.samples), calls, 64);
  EXPECT_EQ(told.finished, static_cast<std::uint64_t>(calls));
}

TYPED_TEST(stats_of, quantiles_are_of_the_histogram) {
  const auto executor = TypeParam::make(1);
  for (int i = 0; i < 8; ++i) executor->submit(&be_busy_for_a_while).get();

  const duration_summary told = executor->stats().run_time;

  std::uint64_t sum = 0;
  std::uint64_t long_ones = 0;
  for (std::size_t i = 0; i < told.buckets.size(); ++i) {
    sum += told.buckets[i];
    if (std::chrono::nanoseconds{std::int64_t{1} << i} > a_while) long_ones += told.buckets[i];
  }
  EXPECT_EQ(sum, told.samples);
  EXPECT_EQ(long_ones, 8U);
  EXPECT_GE(told.p99_9, told.p99);
}

void die() { ::raise(SIGKILL); }

int die_at_first(gate_handle at) {
  if (count_arrival(at) == 1) ::raise(SIGKILL);
  return 1;
}

int run_on() {
  for (;;) std::this_thread::yield();
}

TEST(stats_of_processes, tell_of_deaths_starts_retries_and_time_limits) {
  const gate here;
  process_pool_executor pool{1};
  pool.submit(&same, 1).get();
  EXPECT_EQ(pool.stats().workers_started, 1U);
  EXPECT_EQ(pool.stats().worker_deaths, 0U);

  EXPECT_THROW(pool.submit(&die).get(), worker_died);
  EXPECT_EQ(pool.submit({.retries = 1}, &die_at_first, here.handle()).get(), 1);
  EXPECT_THROW(pool.submit({.timeout = a_while, .grace = a_while}, &run_on).get(), timeout_error);
  pool.submit(&same, 1).get();

  const executor_stats told = pool.stats();
  // On a busy machine, a worker that comes too late is replaced, too.
  EXPECT_GE(told.worker_deaths, 3U);
  EXPECT_LE(told.worker_deaths, 5U);
  EXPECT_GE(told.workers_started, 4U);
  EXPECT_LE(told.workers_started, 6U);
  EXPECT_EQ(told.retried, 1U);
  EXPECT_EQ(told.timed_out, 1U);
  EXPECT_FALSE(pool.is_broken());
}

TEST(stats_of_processes, do_not_count_workers_that_the_pool_ends) {
  process_pool_options options;
  options.max_workers = 1;
  options.max_calls_per_worker = 1;
  process_pool_executor pool{std::move(options)};
  for (int i = 0; i < 3; ++i) pool.submit(&same, i).get();
  EXPECT_EQ(pool.stats().workers_started, 3U);
  EXPECT_EQ(pool.stats().worker_deaths, 0U);
}

TEST(stats_of_broken_pools, say_why) {
  const unhandled_log log;
  thread_pool_options options;
  options.max_workers = 1;
  options.initializer = [] { throw std::runtime_error{"no licence"}; };
  thread_pool_executor threads{std::move(options)};
  try {
    threads.submit(&same, 1).wait();
  } catch (const broken_executor&) {
    // the first call may come too late
  }
  EXPECT_TRUE(threads.is_broken());
  EXPECT_NE(threads.stats().broken.find("no licence"), std::string::npos);

  process_pool_options of_processes;
  of_processes.max_workers = 1;
  of_processes.on_worker_death = on_worker_death::break_pool;
  process_pool_executor processes{std::move(of_processes)};
  EXPECT_FALSE(processes.is_broken());
  processes.submit(&die).wait();
  EXPECT_TRUE(processes.is_broken());
  EXPECT_NE(processes.stats().broken.find("SIGKILL"), std::string::npos);
}

}  // namespace
}  // namespace cadre::test
