// SPDX-License-Identifier: MIT
// What is particular to worker processes. Source: CPython's test_process_pool.py, and what of
// test_shutdown.py is about processes.
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "conformance/example_futures.hpp"
#include "conformance/executors.hpp"
#include "conformance/process_pools.hpp"
#include "support/gate.hpp"
#include "support/process.hpp"
#include "support/sanitizers.hpp"

namespace cadre::test {
namespace {

template <typename Traits>
class worker_processes : public testing::Test {};
TYPED_TEST_SUITE(worker_processes, start_methods, executor_names);

template <typename Traits>
class broken_processes : public testing::Test {};
TYPED_TEST_SUITE(broken_processes, start_methods, executor_names);

/// Told apart from others of its kind by nothing; counts how many of it there are in this process.
class counted {
 public:
  counted() noexcept { ++alive; }
  counted(const counted&) noexcept { ++alive; }
  counted& operator=(const counted&) = default;
  ~counted() { --alive; }

  template <typename Archive>
  void serialize(Archive& archive) {
    archive(number_);
  }

  static inline int alive = 0;

 private:
  int number_ = 0;
};

int twice(int n) { return 2 * n; }

int counted_here() { return counted::alive; }
int counted_with(const counted&) { return counted::alive; }

int exit_with(int code) { ::_exit(code); }

int wait_then_exit(gate_handle at, int code) {
  pass(at, 0);
  ::_exit(code);
}

[[gnu::noinline]] int function_that_throws(int n) {
  if (n > 0) throw disk_full{};
  return n;
}

bool lives(int pid) { return ::kill(pid, 0) == 0 || errno != ESRCH; }

futures submit_some(process_pool_executor& pool, int count) {
  futures all;
  for (int i = 0; i < count; ++i) all.push_back(pool.submit(&multiply, i, 2));
  return all;
}

void expect_results(const futures& all) {
  int i = 0;
  for (const auto& f : all) EXPECT_EQ(f.get(), 2 * i++);
}

/// No new file descriptor for this process while it lives.
class no_descriptors {
 public:
  no_descriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit none = before_;
    none.rlim_cur = 0;
    ::setrlimit(RLIMIT_NOFILE, &none);
  }
  ~no_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  no_descriptors(const no_descriptors&) = delete;
  no_descriptors& operator=(const no_descriptors&) = delete;

 private:
  rlimit before_{};
};

/// Makes every stack larger than the address space.
int submits_when_no_thread_can_start() {
  pthread_attr_t huge;
  ::pthread_attr_init(&huge);
  ::pthread_attr_setstacksize(&huge, std::size_t{1} << 60);
  ::pthread_setattr_default_np(&huge);
  ::pthread_attr_destroy(&huge);
  process_pool_executor pool{2};
  try {
    static_cast<void>(pool.submit(&multiply, 6, 7));
    std::puts("submitted");
  } catch (const std::system_error& e) {
    std::puts(e.what());
  }
  return 0;
}

const child_program without_threads{"starts no collector", &submits_when_no_thread_can_start};

}  // namespace

// --- how many ---

TYPED_TEST(worker_processes, run_every_element_of_a_map) {
  const auto pool = TypeParam::make({.max_workers = 1});

  EXPECT_THROW(static_cast<void>(pool->map({.caller_runs = true}, &twice, std::vector{1, 2, 3})),
               std::invalid_argument);
}

TYPED_TEST(worker_processes, saturation_starts_max_workers_and_no_more) {
  const gate here;
  const auto pool = TypeParam::make({.max_workers = 2});
  for (int i = 0; i < 15 * 2; ++i) static_cast<void>(pool->submit(&pass, here.handle(), 0));
  here.await_arrivals(2);

  EXPECT_EQ(pool->stats().workers, 2U);
  EXPECT_EQ(here.arrivals(), 2U);

  here.open();
}

TYPED_TEST(worker_processes, an_idle_one_is_reused) {
  const auto pool = TypeParam::make({.max_workers = 4});

  std::set<int> pids;
  for (int i = 0; i < 3; ++i) pids.insert(pool->submit(&process_id).get());

  EXPECT_EQ(pids.size(), 1U);
  EXPECT_EQ(pool->stats().workers, 1U);
}

TYPED_TEST(worker_processes, idle_ones_are_reused_before_more_are_started) {
  const gate here;
  const auto pool = TypeParam::make({.max_workers = 4});
  const futures both{pool->submit(&pass, here.handle(), 1), pool->submit(&pass, here.handle(), 2)};
  here.await_arrivals(2);
  here.open();
  for (const auto& f : both) f.wait();

  for (int i = 0; i < 4; ++i) pool->submit(&multiply, 21, 2).get();

  EXPECT_EQ(pool->stats().workers, 2U);
}

TYPED_TEST(worker_processes, a_result_of_a_call_leaves_nothing_of_its_arguments) {
  const auto pool = TypeParam::make({.max_workers = 1});

  EXPECT_GE(pool->submit(&counted_with, counted{}).get(), 1);

  EXPECT_EQ(pool->submit(&counted_here).get(), 0);
  EXPECT_EQ(counted::alive, 0);
}

// --- a worker's life is so many calls ---

TYPED_TEST(worker_processes, one_is_replaced_after_max_calls_per_worker) {
  const auto pool = TypeParam::make({.max_workers = 1, .max_calls_per_worker = 3});

  std::vector<int> pids;
  for (int i = 0; i < 7; ++i) pids.push_back(pool->submit(&process_id).get());

  EXPECT_EQ(std::set(pids.begin(), pids.end()).size(), 3U);
  EXPECT_EQ(pids[0], pids[2]);
  EXPECT_EQ(pids[3], pids[5]);
}

TYPED_TEST(worker_processes, of_one_call_each_run_all_that_is_queued) {
  const auto pool = TypeParam::make({.max_workers = 1, .max_calls_per_worker = 1});

  expect_results(submit_some(*pool, 6));
}

TYPED_TEST(worker_processes, of_one_call_each_run_all_after_shutdown_without_wait) {
  const auto pool = TypeParam::make({.max_workers = 1, .max_calls_per_worker = 1});
  const futures all = submit_some(*pool, 4);

  pool->shutdown({.wait = false});

  expect_results(all);
}

TYPED_TEST(worker_processes, of_one_call_each_run_all_while_shutdown_waits) {
  const auto pool = TypeParam::make({.max_workers = 2, .max_calls_per_worker = 1});
  const futures all = submit_some(*pool, 6);

  pool->shutdown();

  EXPECT_TRUE(std::ranges::all_of(all, &future<int>::done));
  expect_results(all);
}

// The end of the scope stands for the collected executor.
TYPED_TEST(worker_processes, of_one_call_each_run_all_when_the_pool_is_destroyed) {
  futures all;
  {
    const auto pool = TypeParam::make({.max_workers = 1, .max_calls_per_worker = 1});
    all = submit_some(*pool, 3);
  }

  expect_results(all);
}

// gh-132969, both cases: a call that fails, and a pool that is shut down meanwhile.
TYPED_TEST(worker_processes, of_one_call_each_survive_a_call_that_throws_before_shutdown) {
  const auto pool = TypeParam::make({.max_workers = 1, .max_calls_per_worker = 1});
  const auto first = pool->submit(&multiply, 1, 2);
  const auto failing = pool->submit(&function_that_throws, 1);
  const auto last = pool->submit(&multiply, 3, 2);

  pool->shutdown({.wait = false});

  EXPECT_EQ(first.get(), 2);
  EXPECT_THROW(failing.get(), std::runtime_error);
  EXPECT_EQ(last.get(), 6);
}

TYPED_TEST(worker_processes, of_two_calls_each_survive_a_call_that_throws_before_shutdown) {
  const auto pool = TypeParam::make({.max_workers = 2, .max_calls_per_worker = 2});
  const auto first = pool->submit(&multiply, 1, 2);
  const auto failing = pool->submit(&function_that_throws, 1);
  EXPECT_EQ(first.get(), 2);
  EXPECT_THROW(failing.get(), std::runtime_error);
  const auto last = pool->submit(&multiply, 3, 2);

  pool->shutdown({.wait = false});

  EXPECT_EQ(last.get(), 6);
}

TYPED_TEST(worker_processes, that_cannot_be_replaced_fail_the_calls_that_wait) {
  if (under_asan) GTEST_SKIP() << "UndefinedBehaviorSanitizer itself needs descriptors";
  const gate here;
  const auto pool = TypeParam::make({.max_workers = 1, .max_calls_per_worker = 1});
  const auto last = pool->submit(&pass, here.handle(), 42);
  here.await_arrivals(1);
  const auto queued = pool->submit(&multiply, 6, 7);
  std::string message;
  {
    const no_descriptors none;
    here.open();
    message = message_of(queued);
  }

  EXPECT_EQ(last.get(), 42);
  EXPECT_NE(message.find("no worker can be started"), std::string::npos) << message;
  EXPECT_EQ(pool->submit(&multiply, 6, 7).get(), 42) << "descriptors may be had again";
}

TYPED_TEST(worker_processes, deaths_are_told_while_the_program_may_open_no_descriptor) {
  if (under_asan) GTEST_SKIP() << "UndefinedBehaviorSanitizer itself needs descriptors";
  const gate here;
  const auto pool = TypeParam::make({.max_workers = 2});
  const auto first = pool->submit(&pass, here.handle(), 1);
  const auto second = pool->submit(&pass, here.handle(), 2);
  here.await_arrivals(2);
  const std::vector<int> pids = pool->worker_pids();
  const no_descriptors none;

  for (const int pid : pids) {
    ::kill(pid, SIGKILL);
  }

  EXPECT_THROW(first.get(), worker_died);
  EXPECT_THROW(second.get(), worker_died);
}

TEST(process_pool_start, without_a_thread_submit_throws_and_nothing_hangs) {
  const ended child = without_threads.run();

  EXPECT_EQ(child.exit_code, 0) << child;
  EXPECT_EQ(child.out.find("submitted"), std::string::npos) << child;
  EXPECT_NE(child.out, "");
}

// --- what has to stay ---

TYPED_TEST(worker_processes, then_fails_and_says_what_to_do) {
  const auto pool = TypeParam::make({.max_workers = 1});
  const auto first = pool->submit(&multiply, 2, 3);

  const std::string message = message_of(first.then(*pool, [](int n) { return n * 7; }));

  EXPECT_NE(message.find("then(f)"), std::string::npos) << message;
  EXPECT_EQ(first.get(), 6);
}

// --- exceptions ---

TYPED_TEST(worker_processes, an_exception_tells_where_it_was_thrown) {
  const auto pool = TypeParam::make({.max_workers = 1});
  const int pid = pool->submit(&process_id).get();
  const auto f = pool->submit({.name = "fill the disk"}, &function_that_throws, 1);

  const remote_origin* origin = origin_of(f.exception());

  ASSERT_NE(origin, nullptr);
  EXPECT_EQ(origin->pid, pid);
  EXPECT_EQ(origin->call, "fill the disk");
  EXPECT_FALSE(origin->frames.empty());
}

// --- death, where it is to cost the pool, as Python's does ---

TYPED_TEST(broken_processes, a_killed_worker_fails_all_calls_and_refuses_more) {
  const gate here;
  const auto pool =
      TypeParam::make({.max_workers = 1, .on_worker_death = on_worker_death::break_pool});
  const auto running = pool->submit(&pass, here.handle(), 0);
  const auto queued = pool->submit(&multiply, 6, 7);
  here.await_arrivals(1);

  ::kill(pool->worker_pids().at(0), SIGKILL);

  EXPECT_THROW(running.get(), broken_executor);
  EXPECT_THROW(queued.get(), broken_executor);
  EXPECT_THROW(static_cast<void>(pool->submit(&multiply, 6, 7)), broken_executor);
}

TYPED_TEST(broken_processes, calls_on_other_workers_fail_too) {
  const gate here;
  const auto pool =
      TypeParam::make({.max_workers = 2, .on_worker_death = on_worker_death::break_pool});
  const auto other = pool->submit(&pass, here.handle(), 0);
  here.await_arrivals(1);

  EXPECT_THROW(pool->submit(&die).get(), broken_executor);

  EXPECT_THROW(other.get(), broken_executor);
}

// gh-101267.
TYPED_TEST(broken_processes, each_future_has_an_exception_of_its_own) {
  const gate here;
  const auto pool =
      TypeParam::make({.max_workers = 1, .on_worker_death = on_worker_death::break_pool});
  futures all{pool->submit(&wait_then_exit, here.handle(), 1)};
  for (int i = 0; i < 3; ++i) all.push_back(pool->submit(&multiply, 6, 7));
  here.await_arrivals(1);

  here.open();
  std::set<const void*> objects;
  for (const auto& f : all) {
    try {
      f.get();
    } catch (const broken_executor& e) {
      objects.insert(&e);
    }
  }

  EXPECT_EQ(objects.size(), all.size());
}

// gh-139462.
TYPED_TEST(broken_processes, the_message_names_the_process_and_its_exit_code) {
  const auto pool =
      TypeParam::make({.max_workers = 1, .on_worker_death = on_worker_death::break_pool});
  const int pid = pool->submit(&process_id).get();

  const std::string message = message_of(pool->submit(&exit_with, 99));

  EXPECT_NE(message.find("99"), std::string::npos) << message;
  EXPECT_NE(message.find(std::to_string(pid)), std::string::npos) << message;
}

TYPED_TEST(worker_processes, the_message_of_a_death_names_the_process_and_its_exit_code) {
  const auto pool = TypeParam::make({.max_workers = 1});
  const int pid = pool->submit(&process_id).get();

  const std::string message = message_of(pool->submit(&exit_with, 99));

  EXPECT_NE(message.find("99"), std::string::npos) << message;
  EXPECT_NE(message.find(std::to_string(pid)), std::string::npos) << message;
}

// --- terminate_workers and kill_workers ---

TYPED_TEST(worker_processes, terminate_and_kill_end_running_calls_and_cancel_the_others) {
  for (const auto end :
       {&process_pool_executor::terminate_workers, &process_pool_executor::kill_workers}) {
    const gate here;
    const auto pool = TypeParam::make({.max_workers = 1});
    const auto running = pool->submit(&pass, here.handle(), 0);
    const auto queued = pool->submit(&multiply, 6, 7);
    here.await_arrivals(1);
    const int pid = pool->worker_pids().at(0);

    ((*pool).*end)();

    EXPECT_THROW(running.get(), worker_died);
    EXPECT_THROW(queued.get(), cancelled_error);
    pool->shutdown();
    EXPECT_FALSE(lives(pid));
  }
}

TYPED_TEST(worker_processes, kill_stops_the_pool) {
  const auto pool = TypeParam::make({.max_workers = 1});
  pool->submit(&multiply, 6, 7).get();

  pool->kill_workers();

  EXPECT_THROW(static_cast<void>(pool->submit(&multiply, 6, 7)), shutdown_error);
  EXPECT_TRUE(pool->shutdown().complete);
}

TYPED_TEST(worker_processes, kill_of_none_returns) {
  const auto pool = TypeParam::make({.max_workers = 1});

  pool->kill_workers();

  EXPECT_TRUE(pool->shutdown().complete);
}

TYPED_TEST(worker_processes, kill_of_dead_ones_returns) {
  const auto pool =
      TypeParam::make({.max_workers = 1, .on_worker_death = on_worker_death::break_pool});
  EXPECT_THROW(pool->submit(&die).get(), broken_executor);

  pool->kill_workers();

  EXPECT_TRUE(pool->shutdown().complete);
}

TYPED_TEST(worker_processes, kill_starts_no_replacements) {
  const gate here;
  const auto pool = TypeParam::make({.max_workers = 1, .max_calls_per_worker = 1});
  const auto running = pool->submit({.retries = 3}, &pass, here.handle(), 0);
  here.await_arrivals(1);
  futures queued = submit_some(*pool, 3);

  pool->kill_workers();
  pool->shutdown();

  EXPECT_THROW(running.get(), worker_died);
  EXPECT_TRUE(std::ranges::all_of(queued, &future<int>::cancelled));
  EXPECT_EQ(here.arrivals(), 1U);
}

// --- shutdown ---

TYPED_TEST(worker_processes, are_gone_after_shutdown) {
  const gate here;
  const auto pool = TypeParam::make({.max_workers = 2});
  for (int i = 0; i < 2; ++i) static_cast<void>(pool->submit(&pass, here.handle(), 0));
  here.await_arrivals(2);
  const std::vector<int> pids = pool->worker_pids();
  EXPECT_EQ(pids.size(), 2U);

  here.open();
  pool->shutdown();

  EXPECT_TRUE(std::ranges::none_of(pids, lives));
}

TYPED_TEST(worker_processes, are_gone_at_the_end_of_the_scope) {
  std::vector<int> pids;
  {
    const auto pool = TypeParam::make({.max_workers = 1});
    pool->submit(&multiply, 6, 7).get();
    pids = pool->worker_pids();
  }

  EXPECT_EQ(pids.size(), 1U);
  EXPECT_TRUE(std::ranges::none_of(pids, lives));
}

}  // namespace cadre::test
