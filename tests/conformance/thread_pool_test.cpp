// SPDX-License-Identifier: MIT
// What is particular to threads. Source: CPython's test_thread_pool.py, and what of
// test_interpreter_pool.py is about threads.
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include "conformance/example_futures.hpp"
#include "conformance/executors.hpp"
#include "support/gate.hpp"

namespace cadre::test {
namespace {

std::string thread_name() {
  std::array<char, 16> name{};
  ::pthread_getname_np(::pthread_self(), name.data(), name.size());
  return name.data();
}

/// The names of the workers that run `count` calls at the same time, sorted.
std::vector<std::string> names_of_workers(thread_pool_executor& pool, unsigned count) {
  const gate here;
  std::vector<future<std::string>> all;
  for (unsigned i = 0; i < count; ++i) {
    all.push_back(pool.submit([&] {
      pass(here.handle(), 0);
      return thread_name();
    }));
  }
  here.await_arrivals(count);
  here.open();
  std::vector<std::string> names;
  for (const auto& f : all) names.push_back(f.get());
  std::ranges::sort(names);
  return names;
}

/// How a child process ended that does nothing but exit.
int exit_code_of_a_fork() {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(7);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

// CPython takes min(32, processors + 4).
TEST(thread_pool, default_workers_are_the_usable_processors) {
  const thread_pool_executor pool;

  EXPECT_EQ(pool.max_workers(), usable_cpus());
}

TEST(thread_pool, saturation_starts_max_workers_threads_and_no_more) {
  const gate here;
  thread_pool_executor pool{4};
  for (int i = 0; i < 15 * 4; ++i) static_cast<void>(pool.submit(&pass, here.handle(), 0));
  here.await_arrivals(4);

  EXPECT_EQ(pool.stats().workers, 4U);
  EXPECT_EQ(here.arrivals(), 4U);

  here.open();
}

TEST(thread_pool, an_idle_worker_is_reused) {
  thread_pool_executor pool{4};

  for (int i = 0; i < 3; ++i) pool.submit(&multiply, 21, 2).get();

  EXPECT_EQ(pool.stats().workers, 1U);
}

TEST(thread_pool, workers_are_started_on_demand) {
  const gate here;
  thread_pool_executor pool{4};
  EXPECT_EQ(pool.stats().workers, 0U);

  static_cast<void>(pool.submit(&pass, here.handle(), 0));
  here.await_arrivals(1);
  EXPECT_EQ(pool.stats().workers, 1U);
  static_cast<void>(pool.submit(&pass, here.handle(), 0));
  here.await_arrivals(2);
  EXPECT_EQ(pool.stats().workers, 2U);

  here.open();
}

TEST(thread_pool, forking_while_calls_submit_calls_does_not_hang_the_child) {
  std::atomic<bool> stop{false};
  std::function<void()> again;  // outlives the calls that copy it
  thread_pool_executor pool{1};
  again = [&] {
    if (!stop) pool.post(again);
  };
  pool.post(again);

  for (int i = 0; i < 50; ++i) EXPECT_EQ(exit_code_of_a_fork(), 7);

  stop = true;
}

TEST(thread_pool, a_call_can_fork) {
  thread_pool_executor pool{1};

  EXPECT_EQ(pool.submit(&exit_code_of_a_fork).get(), 7);
}

TEST(thread_pool, more_blocking_calls_than_workers_all_get_their_turn) {
  constexpr unsigned calls = 10;
  const gate here;
  thread_pool_executor pool{4};
  futures all;
  for (unsigned i = 0; i < calls; ++i) all.push_back(pool.submit(&pass, here.handle(), 0));

  for (unsigned admitted = 0; admitted < calls; ++admitted) {
    here.await_arrivals(std::min(admitted + 4, calls));
    here.admit(1);
  }

  for (const auto& f : all) EXPECT_EQ(f.get(), 0);
}

TEST(thread_pool, calls_that_block_start_as_many_workers_as_there_may_be) {
  constexpr unsigned calls = 10;
  const gate here;
  thread_pool_executor pool{calls};
  futures all;
  for (unsigned i = 0; i < calls; ++i) all.push_back(pool.submit(&pass, here.handle(), 0));

  here.await_arrivals(calls);
  here.open();

  for (const auto& f : all) EXPECT_EQ(f.get(), 0);
}

TEST(thread_pool, threads_are_named_prefix_and_number) {
  thread_pool_executor pool{{.max_workers = 3, .thread_name_prefix = "special"}};

  EXPECT_EQ(names_of_workers(pool, 3),
            (std::vector<std::string>{"special_0", "special_1", "special_2"}));
}

TEST(thread_pool, threads_have_a_default_name_that_tells_pools_apart) {
  thread_pool_executor one{1};
  thread_pool_executor other{1};

  const std::string name = one.submit(&thread_name).get();

  EXPECT_TRUE(std::regex_match(name, std::regex{"pool-[0-9]+_0"})) << name;
  EXPECT_NE(name, other.submit(&thread_name).get());
}

// The kernel keeps 15 characters of a thread's name.
TEST(thread_pool, a_long_prefix_keeps_the_number) {
  thread_pool_executor pool{{.max_workers = 2, .thread_name_prefix = "a very long prefix indeed"}};

  const std::vector<std::string> names = names_of_workers(pool, 2);

  EXPECT_TRUE(names[0].starts_with("a very")) << names[0];
  EXPECT_TRUE(names[0].ends_with("_0")) << names[0];
  EXPECT_TRUE(names[1].ends_with("_1")) << names[1];
}

TEST(thread_pool, calls_of_one_thread_begin_in_the_order_of_submission) {
  std::vector<int> order;
  {
    thread_pool_executor pool{1};
    for (int i = 0; i < 1000; ++i) pool.post([&order, i] { order.push_back(i); });
  }

  EXPECT_TRUE(std::ranges::is_sorted(order));
  EXPECT_EQ(order.size(), 1000U);
}

TEST(thread_pool, submit_from_many_threads_loses_no_call) {
  constexpr int per_thread = 1000;
  std::atomic<int> ran{0};
  {
    thread_pool_executor pool{2};
    std::vector<std::jthread> submitters;
    for (int t = 0; t < 4; ++t) {
      submitters.emplace_back([&] {
        for (int i = 0; i < per_thread; ++i) pool.post([&] { ++ran; });
      });
    }
  }

  EXPECT_EQ(ran, 4 * per_thread);
}

}  // namespace cadre::test
