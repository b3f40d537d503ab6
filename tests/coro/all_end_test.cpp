// SPDX-License-Identifier: MIT
// all(): stops of tasks that are awaited at once, and the end of their executor.
#include <gtest/gtest.h>
#include <cadre/all.hpp>
#include <cadre/errors.hpp>
#include <cadre/manual_executor.hpp>
#include <cadre/promise.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <algorithm>
#include <atomic>
#include <latch>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "coro/tasks.hpp"
#include "support/other_thread.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

class all_tasks_end : public frames_test {};

task<> add(std::atomic<int>& to, int n, counted = {}) {
  to += n;
  co_return;
}

/// Unless a stop has cancelled it.
void set(promise<int>& p) {
  if (p.set_running()) p.set_value(1);
}

task<int> await_both(future<int> first, future<int> second, counted = {}) {
  auto [a, b] = co_await all(await(std::move(first)), await(std::move(second)));
  co_return a + b;
}

/// Both of its tasks have begun, and wait.
struct waiting_task {
  waiting_task() { begun.wait(); }

  task<int> wait_for(promise<int>& p, counted = {}) {
    auto awaited = p.get_future();
    begun.count_down();
    co_return co_await awaited;
  }
  task<int> wait_for_both(counted = {}) {
    auto [a, b] = co_await all(wait_for(first), wait_for(second));
    co_return a + b;
  }

  std::latch begun{2};
  promise<int> first;
  promise<int> second;
  std::optional<thread_pool_executor> pool{std::in_place, 2};
  future<int> f = spawn(*pool, wait_for_both());
};

TEST_F(all_tasks_end, are_stopped_with_the_task_that_awaits_them) {
  waiting_task waiting;

  EXPECT_TRUE(waiting.f.request_stop());

  EXPECT_THROW(waiting.f.get_for(medium_time), cancelled_error);
  EXPECT_TRUE(waiting.first.get_future().cancelled());
  EXPECT_TRUE(waiting.second.get_future().cancelled());
}

TEST_F(all_tasks_end, are_waited_for_by_shutdown) {
  waiting_task waiting;
  other_thread closer{[&] { waiting.pool.reset(); }};
  closer.await_asleep();

  waiting.second.set_value(2);
  waiting.first.set_value(1);

  closer.join();
  EXPECT_EQ(waiting.f.get(), 3);
}

TEST_F(all_tasks_end, of_a_pool_with_a_deadline_are_stopped_at_that) {
  waiting_task waiting;

  const shutdown_report report =
      waiting.pool->shutdown({.deadline = short_time, .grace = medium_time});

  EXPECT_TRUE(report.complete);
  EXPECT_THROW(waiting.f.get(), cancelled_error);
}

TEST_F(all_tasks_end, are_stopped_however_deep_they_are) {
  thread_pool_executor pool{{.max_workers = 2}};
  std::vector<promise<int>> never(8);
  const auto await_four = [&](std::size_t i, counted) -> task<int> {
    auto [a, b] = co_await all(await_both(never[i].get_future(), never[i + 1].get_future()),
                               await_both(never[i + 2].get_future(), never[i + 3].get_future()));
    co_return a + b;
  };
  const auto await_them = [&](counted) -> task<int> {
    auto [a, b] = co_await all(await_four(0, {}), await_four(4, {}));
    co_return a + b;
  };
  auto f = spawn(pool, await_them({}));

  f.request_stop();

  EXPECT_TRUE(f.wait_for(medium_time));
  EXPECT_TRUE(f.cancelled() || f.exception() != nullptr);
}

TEST_F(all_tasks_end, that_begin_after_the_stop_find_it) {
  thread_pool_executor pool{{.max_workers = 1}};
  promise<int> never;
  std::atomic<bool> asked{false};
  const auto look = [&](counted) -> task<> {
    const std::stop_token stop = co_await this_task::stop_token();
    asked = stop.stop_requested();
  };
  promise<future<int>> own;
  const auto await_them = [&](future<future<int>> self, counted) -> task<int> {
    const future<int> f = co_await std::move(self);
    const auto stop_it = [&](counted) -> task<> {
      f.request_stop();
      co_return;
    };
    co_await all(stop_it({}), look({}));
    co_return 1;
  };
  auto f = spawn(pool, await_them(own.get_future(), {}));
  own.set_value(f);

  EXPECT_EQ(f.get_for(medium_time), 1);
  EXPECT_TRUE(asked);
}

TEST_F(all_tasks_end, that_others_took_have_the_same_token) {
  thread_pool_executor pool{{.max_workers = 3}};
  std::latch together{4};
  const auto token = [&](counted) -> task<std::stop_token> {
    together.arrive_and_wait();
    co_return co_await this_task::stop_token();
  };
  std::vector<std::stop_token> tokens;
  promise<int> p;
  const auto await_them = [&](counted) -> task<int> {
    auto [a, b, c] = co_await all(token({}), token({}), token({}));
    const std::stop_token own = co_await this_task::stop_token();
    tokens.assign({own, a, b, c});
    co_return co_await await(p.get_future());
  };
  auto f = spawn(pool, await_them({}));

  together.arrive_and_wait();
  f.request_stop();

  EXPECT_TRUE(f.wait_for(medium_time));
  ASSERT_EQ(tokens.size(), 4U);
  for (const std::stop_token& each : tokens) {
    EXPECT_EQ(each, tokens[0]);
    EXPECT_TRUE(each.stop_requested());
  }
}

TEST_F(all_tasks_end, that_others_took_are_told_by_their_token) {
  thread_pool_executor pool{{.max_workers = 2}};
  std::latch both{2};
  const auto until_stopped = [&](counted) -> task<> {
    const std::stop_token stop = co_await this_task::stop_token();
    both.arrive_and_wait();
    while (!stop.stop_requested()) std::this_thread::yield();
  };
  const auto await_them = [&](counted) -> task<> {
    co_await all(until_stopped({}), until_stopped({}));
  };
  auto f = spawn(pool, await_them({}));
  both.wait();

  EXPECT_TRUE(f.request_stop());

  f.get_for(medium_time);
}

TEST_F(all_tasks_end, are_not_cancelled_as_pending_calls) {
  thread_pool_executor pool{{.max_workers = 1}};
  promise<int> p;
  const auto cancel_others = [&](counted) -> task<int> {
    pool.shutdown({.wait = false, .cancel_pending = true});
    co_return 1;
  };
  const auto await_them = [&](counted) -> task<int> {
    auto [a, b, c] = co_await all(cancel_others({}), give(2), give(3));
    co_return a + b + c;
  };

  EXPECT_EQ(spawn(pool, await_them({})).get_for(medium_time), 6);
}

// Whichever of them have begun, and whichever are to go on: each frame is destroyed once.
TEST_F(all_tasks_end, of_an_executor_that_ends_fail) {
  for (const int steps : {0, 1, 2, 3, 4}) {
    promise<int> first;
    promise<int> second;
    manual_executor queue;
    auto f = spawn(queue, await_both(first.get_future(), second.get_future()));
    for (int i = 0; i < std::min(steps, 2); ++i) queue.run_one();
    if (steps == 3) set(first);
    if (steps == 4) set(second);

    queue.shutdown({.cancel_pending = true});
    if (steps != 3) set(first);
    if (steps != 4) set(second);

    ASSERT_TRUE(f.wait_for(short_time)) << steps;
    EXPECT_ANY_THROW(f.get()) << steps;  // cancelled_error, or shutdown_error
  }
}

// One of them uses what the task that awaits them has, on a thread of another pool.
TEST_F(all_tasks_end, of_an_executor_that_ends_are_waited_for_before_that_is_destroyed) {
  std::latch inside{1};
  std::latch leave{1};
  promise<int> p;
  thread_pool_executor other{1};
  manual_executor queue;
  const auto stay = [&](std::atomic<int>& sum, counted) -> task<> {
    co_await schedule(other);
    inside.count_down();
    leave.wait();
    ++sum;
  };
  const auto await_them = [&](counted) -> task<int> {
    std::atomic<int> sum{0};
    co_await all(await(p.get_future()), stay(sum, {}));
    co_return sum;
  };
  auto f = spawn(queue, await_them({}));
  while (queue.run_one()) continue;
  inside.wait();

  queue.shutdown({.wait = false});
  p.set_value(1);

  EXPECT_FALSE(f.done());
  leave.count_down();
  EXPECT_THROW(f.get_for(medium_time), shutdown_error);
}

TEST_F(all_tasks_end, in_a_queue_that_is_shut_down_are_not_cancelled) {
  manual_executor queue;
  std::atomic<int> sum{0};
  promise<int> later;
  const auto await_them = [&](counted) -> task<> {
    co_await all(await(later.get_future()), add(sum, 1), add(sum, 1));
  };
  auto f = spawn(queue, await_them({}));
  queue.run_one();
  later.set_value(1);

  queue.shutdown({.cancel_pending = true});

  EXPECT_EQ(sum, 2);
}

}  // namespace
}  // namespace cadre::test
