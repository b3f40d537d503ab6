// SPDX-License-Identifier: MIT
// Calls that wait for calls. Blocking waits deadlock other pools, and so do waits that run whatever
// they find: here a wait runs the very call that it waits for, or blocks and is replaced.
#include <cadre/errors.hpp>
#include <cadre/promise.hpp>
#include <cadre/thread_pool_executor.hpp>
#include <cadre/wait.hpp>

#include <gtest/gtest.h>

#include <mutex>
#include <ranges>
#include <thread>
#include <utility>
#include <vector>

#include "support/gate.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using std::chrono_literals::operator""s;

int fibonacci(thread_pool_executor& pool, int n) {
  if (n < 2) return n;
  const auto one = pool.submit([&pool, n] { return fibonacci(pool, n - 1); });
  const int other = fibonacci(pool, n - 2);
  return one.get() + other;
}

int depth(thread_pool_executor& pool, int n) {
  return n == 0 ? 0 : pool.submit([&pool, n] { return depth(pool, n - 1); }).get() + 1;
}

}  // namespace

// bshoshany/thread-pool #95 and #142, taskflow #435 and #575, concurrencpp #61: deadlocks. Python's
// documentation warns of it.
TEST(nested_wait, a_pool_of_one_worker_can_wait_for_its_own_calls) {
  thread_pool_executor pool{1};

  const auto outer = pool.submit([&] { return pool.submit([] { return 42; }).get(); });

  EXPECT_EQ(outer.get(), 42);
}

TEST(nested_wait, a_pool_of_one_worker_can_wait_for_many_of_its_own_calls) {
  thread_pool_executor pool{1};

  const auto outer = pool.submit([&] {
    std::vector<future<int>> parts;
    for (int i = 0; i < 100; ++i) parts.push_back(pool.submit([i] { return i; }));
    int sum = 0;
    for (const auto& part : cadre::wait(parts).done) sum += part.get();
    return sum;
  });

  EXPECT_EQ(outer.get(), 4950);
}

TEST(nested_wait, nested_loops_finish) {
  thread_pool_executor pool{2};
  const auto row = [&](int y) {
    int sum = 0;
    for (const int cell : pool.map([y](int x) { return x * y; }, std::views::iota(0, 20))) {
      sum += cell;
    }
    return sum;
  };

  int total = 0;
  for (const int sum : pool.map(row, std::views::iota(0, 20))) total += sum;

  EXPECT_EQ(total, 190 * 190);
}

TEST(nested_wait, recursion_by_blocking_calls_needs_no_further_threads) {
  thread_pool_executor pool{1};

  EXPECT_EQ(pool.submit([&] { return fibonacci(pool, 15); }).get(), 610);

  EXPECT_EQ(pool.stats().workers, 1U);
}

TEST(nested_wait, a_long_chain_of_waits_finishes) {
  thread_pool_executor pool{1};

  EXPECT_EQ(pool.submit([&] { return depth(pool, 1000); }).get(), 1000);
}

// rayon #592, polars PR 22159, aptos-core PR 422: a waiter that holds a lock runs another call,
// which takes that lock.
TEST(nested_wait, a_waiter_with_a_lock_runs_no_other_call_that_takes_it) {
  thread_pool_executor pool{1};
  std::mutex mutex;
  int taken = 0;

  const auto outer = pool.submit([&] {
    const std::lock_guard lock{mutex};
    pool.post([&] {
      const std::lock_guard inner{mutex};
      ++taken;
    });
    return pool.submit([] { return 42; }).get();
  });

  EXPECT_EQ(outer.get(), 42);
  pool.shutdown();
  EXPECT_EQ(taken, 1);
}

// stlab #397: b waits for c and meanwhile runs a, which waits for b.
TEST(nested_wait, a_waiter_runs_no_call_that_waits_for_it) {
  const gate begin;
  thread_pool_executor pool{1};
  future<int> b = pool.submit([&] {
    pass(begin.handle(), 0);
    return pool.submit([] { return 1; }).get();
  });
  const auto a = pool.submit([&] { return b.get() + 1; });

  begin.open();

  EXPECT_EQ(a.get(), 2);
}

// oneTBB #942: a wait for one group took up a long call of another, and got stuck behind it.
TEST(nested_wait, a_wait_does_not_get_stuck_behind_another_long_call) {
  const gate first;
  const gate second;
  thread_pool_executor pool{2};
  const auto awaited = pool.submit(&pass, first.handle(), 42);
  const auto outer = pool.submit([&] { return awaited.get(); });
  const auto slow = pool.submit(&pass, second.handle(), 0);

  first.open();

  EXPECT_EQ(outer.get(), 42);
  EXPECT_FALSE(slow.done());
  second.open();
}

TEST(nested_wait, the_awaited_call_runs_on_the_thread_that_waits) {
  thread_pool_executor pool{1};
  const auto here = [] { return std::this_thread::get_id(); };

  const auto [waiter, awaited] = pool.submit([&] {
                                       return std::pair{here(), pool.submit(here).get()};
                                     })
                                     .get();

  EXPECT_EQ(waiter, awaited);
}

// Python's promise that calls run on the workers, with their initializers and names.
TEST(nested_wait, a_thread_that_is_no_worker_runs_no_call) {
  thread_pool_executor pool{1};

  EXPECT_NE(pool.submit([] { return std::this_thread::get_id(); }).get(),
            std::this_thread::get_id());
}

// dispenso's timed waits may overshoot, since they run what they wait for.
TEST(nested_wait, a_wait_with_a_time_limit_runs_nothing_itself) {
  thread_pool_executor pool{1};
  const auto here = [] { return std::this_thread::get_id(); };

  const auto [waiter, awaited] =
      pool.submit([&] {
            return std::pair{here(), pool.submit(here).get_for(long_time)};
          })
          .get();

  EXPECT_NE(waiter, awaited);
}

TEST(nested_wait, a_wait_with_a_time_limit_ends_in_time) {
  const gate here;
  thread_pool_executor pool{1};

  const auto outer = pool.submit([&] {
    const auto blocked = pool.submit(&pass, here.handle(), 0);
    return blocked.wait_for(short_time);
  });

  EXPECT_FALSE(outer.get());
  here.open();
}

TEST(nested_wait, a_worker_that_waits_for_a_promise_is_replaced) {
  promise<int> writer;
  thread_pool_executor pool{1};
  const auto waiter = pool.submit([f = writer.get_future()] { return f.get(); });

  pool.submit([&] { writer.set_value(42); }).get();

  EXPECT_EQ(waiter.get(), 42);
}

TEST(nested_wait, several_workers_that_wait_for_a_promise_are_replaced) {
  promise<int> writer;
  thread_pool_executor pool{1};
  std::vector<future<int>> waiters;
  for (int i = 0; i < 20; ++i) {
    waiters.push_back(pool.submit([f = writer.get_future()] { return f.get(); }));
  }

  pool.submit([&] { writer.set_value(42); }).get();

  for (const auto& waiter : waiters) EXPECT_EQ(waiter.get(), 42);
}

TEST(nested_wait, replacements_retire_when_they_are_not_needed_any_more) {
  promise<int> writer;
  thread_pool_executor pool{1};
  std::vector<future<int>> waiters;
  for (int i = 0; i < 20; ++i) {
    waiters.push_back(pool.submit([f = writer.get_future()] { return f.get(); }));
  }
  pool.submit([&] { writer.set_value(42); }).get();
  for (const auto& waiter : waiters) waiter.wait();

  while (pool.stats().workers > 1) std::this_thread::yield();
}

// The caller acts between completions: had it run `second` inline, that would wait for ever.
TEST(nested_wait, first_completed_runs_nothing_itself) {
  thread_pool_executor pool{1};

  const auto outer = pool.submit([&] {
    promise<int> writer;
    const auto second = pool.submit([f = writer.get_future()] { return f.get(); });
    const auto first = pool.submit([] { return 1; });
    const auto result =
        cadre::wait(std::vector{second, first}, {.return_when = return_when::first_completed});
    writer.set_value(static_cast<int>(result.done.size()));
    return second.get() + first.get();
  });

  EXPECT_EQ(outer.get(), 2);
}

TEST(nested_wait, as_completed_runs_nothing_itself) {
  thread_pool_executor pool{1};

  const auto outer = pool.submit([&] {
    promise<int> writer;
    const std::vector both{pool.submit([f = writer.get_future()] { return f.get(); }),
                           pool.submit([] { return 1; })};
    int sum = 0;
    for (const auto& f : cadre::as_completed(both)) {
      if (sum == 0) writer.set_value(2);
      sum += f.get();
    }
    return sum;
  });

  EXPECT_EQ(outer.get(), 3);
}

TEST(nested_wait, when_any_runs_nothing_itself) {
  thread_pool_executor pool{1};

  const auto outer = pool.submit([&] {
    promise<int> writer;
    const std::vector both{pool.submit([f = writer.get_future()] { return f.get(); }),
                           pool.submit([] { return 1; })};
    const std::size_t first = when_any(both).get().index;
    writer.set_value(2);
    return static_cast<int>(first) + both[0].get() + both[1].get();
  });

  EXPECT_EQ(outer.get(), 4);
}

TEST(nested_wait, a_wait_through_then_runs_the_call_behind_it) {
  thread_pool_executor pool{1};

  const auto outer = pool.submit(
      [&] { return pool.submit([] { return 41; }).then([](int n) { return n + 1; }).get(); });

  EXPECT_EQ(outer.get(), 42);
}

TEST(nested_wait, a_wait_through_when_all_runs_the_calls_behind_it) {
  thread_pool_executor pool{1};

  const auto outer = pool.submit([&] {
    const std::vector parts{pool.submit([] { return 1; }), pool.submit([] { return 2; })};
    int sum = 0;
    for (const auto& part : when_all(parts).get()) sum += part.get();
    return sum;
  });

  EXPECT_EQ(outer.get(), 3);
  EXPECT_EQ(pool.stats().workers, 1U);
}

TEST(nested_wait, pools_of_one_worker_may_wait_for_each_others_queued_calls) {
  const gate begin;
  thread_pool_executor x{1};
  thread_pool_executor y{1};
  const auto there_and_back = [&](thread_pool_executor& there) {
    pass(begin.handle(), 0);
    return there.submit([] { return 1; }).get();
  };
  const auto from_x = x.submit([&] { return there_and_back(y); });
  const auto from_y = y.submit([&] { return there_and_back(x); });
  begin.await_arrivals(2);

  begin.open();

  EXPECT_EQ(from_x.get() + from_y.get(), 2);
}

}  // namespace cadre::test
