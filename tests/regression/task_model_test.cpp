// SPDX-License-Identifier: MIT
// What a call is made of, and when it is taken apart; whom it overtakes; who runs it.
#include <cadre/errors.hpp>
#include <cadre/thread_pool_executor.hpp>
#include <cadre/wait.hpp>

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/gate.hpp"
#include "support/process.hpp"
#include "support/unhandled_log.hpp"

namespace cadre::test {
namespace {

/// Counts its copies.
struct counted {
  explicit counted(std::atomic<int>& c) : copies{&c} {}
  counted(const counted& other) : copies{other.copies} { ++*copies; }
  counted(counted&&) = default;
  counted& operator=(const counted&) = delete;
  std::atomic<int>* copies;
};

bool bind_to_one_processor() {
  cpu_set_t usable;
  CPU_ZERO(&usable);
  ::sched_getaffinity(0, sizeof usable, &usable);
  int first = 0;
  while (!CPU_ISSET(first, &usable)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  return ::sched_setaffinity(0, sizeof one, &one) == 0;
}

int first_usable_processor() {
  cpu_set_t usable;
  CPU_ZERO(&usable);
  ::sched_getaffinity(0, sizeof usable, &usable);
  int first = 0;
  while (!CPU_ISSET(first, &usable)) ++first;
  return first;
}

const child_program bound_program{"counts processors when bound to one", [] {
                                    ::unsetenv("CADRE_MAX_WORKERS");
                                    bind_to_one_processor();
                                    const thread_pool_executor pool;
                                    std::printf("%u %u\n", usable_cpus(), pool.max_workers());
                                    return 0;
                                  }};

const child_program told_program{"counts processors as told", [] {
                                   ::setenv("CADRE_MAX_WORKERS", "7", 1);
                                   const thread_pool_executor pool;
                                   std::printf("%u %u\n", usable_cpus(), pool.max_workers());
                                   return 0;
                                 }};

}  // namespace

// bshoshany/thread-pool #13 and #145, dp #51, progschj #40.
TEST(task_model, a_callable_may_be_move_only) {
  thread_pool_executor pool{1};

  EXPECT_EQ(pool.submit([p = std::make_unique<int>(42)] { return *p; }).get(), 42);
}

TEST(task_model, a_result_may_be_move_only) {
  thread_pool_executor pool{1};

  const std::unique_ptr<int> result = pool.submit([] { return std::make_unique<int>(42); }).get();

  EXPECT_EQ(*result, 42);
}

TEST(task_model, a_result_may_have_no_default_constructor) {
  struct needs_a_number {
    explicit needs_a_number(int n) : number{n} {}
    int number;
  };
  thread_pool_executor pool{1};

  EXPECT_EQ(pool.submit([] { return needs_a_number{42}; }).get().number, 42);
}

TEST(task_model, a_callable_that_is_moved_in_is_never_copied) {
  std::atomic<int> copies{0};
  thread_pool_executor pool{1};

  pool.submit([c = counted{copies}] { static_cast<void>(c); }).get();
  pool.submit([](const counted& c) { static_cast<void>(c); }, counted{copies}).get();

  EXPECT_EQ(copies, 0);
}

TEST(task_model, a_member_function_can_be_called) {
  thread_pool_executor pool{1};
  const std::string text = "answer";

  EXPECT_EQ(pool.submit(&std::string::size, std::cref(text)).get(), 6U);
}

// bshoshany/thread-pool #124 and #129: captures lived until the worker took its next task.
TEST(task_model, captures_are_destroyed_before_the_result_is_there) {
  thread_pool_executor pool{1};
  for (int i = 0; i < 1000; ++i) {
    const auto object = std::make_shared<int>(42);

    pool.submit([object] { static_cast<void>(object); }).get();

    ASSERT_EQ(object.use_count(), 1);
  }
}

TEST(task_model, captures_of_a_failed_call_are_destroyed_before_its_exception_is_there) {
  thread_pool_executor pool{1};
  const auto object = std::make_shared<int>(42);

  EXPECT_THROW(pool.submit([object] { throw 42; }).get(), int);

  EXPECT_EQ(object.use_count(), 1);
}

TEST(task_model, a_result_that_nobody_wants_is_destroyed) {
  const auto object = std::make_shared<int>(42);
  {
    thread_pool_executor pool{1};
    static_cast<void>(pool.submit([object] { return object; }));
  }

  EXPECT_EQ(object.use_count(), 1);
}

// taskflow #479 and #590: a task that throws hangs the rest.
TEST(task_model, calls_that_throw_harm_no_worker) {
  thread_pool_executor pool{2};
  std::vector<future<void>> all;
  for (int i = 0; i < 100; ++i) all.push_back(pool.submit([] { throw 42; }));

  for (const auto& f : all) EXPECT_THROW(f.get(), int);

  EXPECT_EQ(pool.submit([] { return 42; }).get(), 42);
  EXPECT_LE(pool.stats().workers, 2U);
}

// bshoshany/thread-pool #62 and #139: exceptions vanish.
TEST(task_model, an_exception_that_nobody_asked_for_is_reported) {
  const unhandled_log log;
  {
    thread_pool_executor pool{1};
    static_cast<void>(pool.submit({.name = "resize"}, [] { throw std::runtime_error{"no room"}; }));
  }

  EXPECT_EQ(log.entries(), std::vector<std::string>{"call resize: no room"});
}

// --- the bound ---

// progschj PR 12, #46, PR 75.
TEST(task_model, a_full_pool_blocks_its_submitter_until_there_is_room) {
  constexpr unsigned calls = 100;
  const gate here;
  thread_pool_executor pool{{.max_workers = 1, .max_pending = 2}};
  std::atomic<unsigned> accepted{0};
  std::jthread submitter{[&] {
    for (unsigned i = 0; i < calls; ++i) {
      pool.post([&] { pass(here.handle(), 0); });
      ++accepted;
    }
  }};

  for (unsigned passed = 1; passed <= calls; ++passed) {
    here.await_arrivals(passed);
    EXPECT_LE(accepted, passed + 2) << "of which `passed` have begun";
    here.admit(1);
  }
}

TEST(task_model, a_full_pool_that_rejects_says_so) {
  const gate here;
  thread_pool_executor pool{{.max_workers = 1, .max_pending = 2, .when_full = when_full::reject}};
  pool.post([&] { pass(here.handle(), 0); });
  here.await_arrivals(1);
  for (int i = 0; i < 2; ++i) pool.post([] {});

  EXPECT_THROW(pool.post([] {}), queue_full);

  here.open();
}

TEST(task_model, a_full_pool_lets_its_submitter_run_the_call) {
  const gate here;
  thread_pool_executor pool{
      {.max_workers = 1, .max_pending = 1, .when_full = when_full::caller_runs}};
  pool.post([&] { pass(here.handle(), 0); });
  here.await_arrivals(1);
  pool.post([] {});

  const auto f = pool.submit([] { return std::this_thread::get_id(); });

  EXPECT_TRUE(f.done());
  EXPECT_EQ(f.get(), std::this_thread::get_id());
  here.open();
}

// sapling PR 225, folly's warning: a bounded pool whose tasks submit tasks deadlocks.
TEST(task_model, the_bound_does_not_hold_for_the_pools_own_workers) {
  thread_pool_executor pool{{.max_workers = 1, .max_pending = 1}};

  const auto outer = pool.submit([&] {
    std::vector<future<int>> inner;
    for (int i = 0; i < 10; ++i) inner.push_back(pool.submit([i] { return i; }));
    int sum = 0;
    for (const auto& f : inner) sum += f.get();
    return sum;
  });

  EXPECT_EQ(outer.get(), 45);
}

TEST(task_model, shutdown_frees_a_blocked_submitter) {
  const gate here;
  thread_pool_executor pool{{.max_workers = 1, .max_pending = 1}};
  pool.post([&] { pass(here.handle(), 0); });
  here.await_arrivals(1);
  pool.post([] {});
  std::jthread submitter{[&] { EXPECT_THROW(pool.post([] {}), shutdown_error); }};

  pool.shutdown({.wait = false});

  submitter.join();
  here.open();
}

// --- priorities: bshoshany/thread-pool #128 and #153, dp #48 ---

TEST(task_model, a_higher_priority_overtakes_queued_lower_ones) {
  const gate here;
  std::vector<int> order;
  {
    thread_pool_executor pool{1};
    pool.post([&] { pass(here.handle(), 0); });
    here.await_arrivals(1);
    for (const int priority : {-1, 0, 1, 0, 5, -1}) {
      static_cast<void>(
          pool.submit({.priority = priority}, [&order, priority] { order.push_back(priority); }));
    }
    here.open();
  }

  EXPECT_EQ(order, (std::vector{5, 1, 0, 0, -1, -1}));
}

TEST(task_model, equal_priorities_keep_their_order) {
  const gate here;
  for (const int priority : {-1, 0, 1}) {
    std::vector<int> order;
    {
      thread_pool_executor pool{1};
      pool.post([&] { pass(here.handle(), 0); });
      for (int i = 0; i < 100; ++i) {
        static_cast<void>(pool.submit({.priority = priority}, [&order, i] { order.push_back(i); }));
      }
      here.open();
    }
    EXPECT_TRUE(std::ranges::is_sorted(order)) << "priority " << priority;
    EXPECT_EQ(order.size(), 100U);
  }
}

TEST(task_model, a_call_with_a_priority_can_be_cancelled_and_awaited) {
  const gate here;
  thread_pool_executor pool{1};
  pool.post([&] { pass(here.handle(), 0); });
  here.await_arrivals(1);
  const auto cancelled = pool.submit({.priority = 1}, [] { return 1; });
  const auto awaited = pool.submit({.priority = -1}, [] { return 2; });

  EXPECT_TRUE(cancelled.cancel());
  here.open();

  EXPECT_EQ(awaited.get(), 2);
}

// --- threads: dp #58, bshoshany/thread-pool #105, #113, #119, #126, #152, #161 ---

TEST(task_model, workers_can_be_bound_to_processors) {
  const int processor = first_usable_processor();
  thread_pool_executor pool{{.max_workers = 2, .affinity = {processor}}};

  const cpu_set_t set = pool.submit([] {
                              cpu_set_t bound;
                              CPU_ZERO(&bound);
                              ::sched_getaffinity(0, sizeof bound, &bound);
                              return bound;
                            })
                            .get();

  EXPECT_EQ(CPU_COUNT(&set), 1);
  EXPECT_TRUE(CPU_ISSET(processor, &set));
}

TEST(task_model, default_workers_are_as_many_as_the_affinity_mask_allows) {
  const ended child = bound_program.run();

  EXPECT_EQ(child.out, "1 1\n") << child;
}

TEST(task_model, default_workers_can_be_set_in_the_environment) {
  const ended child = told_program.run();

  EXPECT_EQ(child.out, "7 7\n") << child;
}

}  // namespace cadre::test
