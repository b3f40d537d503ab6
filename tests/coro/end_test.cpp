// SPDX-License-Identifier: MIT
// Tasks used wrongly, dropped, or met by the end of their executor.
#include <gtest/gtest.h>
#include <cadre/async_generator.hpp>
#include <cadre/coro.hpp>
#include <cadre/errors.hpp>
#include <cadre/inline_executor.hpp>
#include <cadre/manual_executor.hpp>
#include <cadre/promise.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <utility>

#include "coro/tasks.hpp"
#include "support/other_thread.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

class task_end : public frames_test {};

task<int> await_deeper(future<int> f, counted = {}) { co_return co_await await(f) + 1; }

/// A task that is suspended until `later`, on a pool of one worker.
struct suspended_task {
  suspended_task() { settle(pool); }

  thread_pool_executor pool{1};
  promise<int> later;
  future<int> f = spawn(pool, await_deeper(later.get_future()));
};

TEST_F(task_end, a_second_await_throws) {
  const auto twice = []() -> task<int> {
    task<int> once = give(1);
    const int first = co_await std::move(once);
    co_return first + co_await std::move(once);
  };

  EXPECT_THROW(sync_wait(twice()), invalid_state_error);
}

TEST_F(task_end, an_empty_task_is_refused) {
  thread_pool_executor pool{1};

  EXPECT_THROW(static_cast<void>(spawn(pool, task<int>{})), invalid_state_error);
  EXPECT_THROW(sync_wait(task<int>{}), invalid_state_error);
}

TEST_F(task_end, an_empty_future_is_refused) {
  EXPECT_THROW(sync_wait(await(future<int>{})), invalid_state_error);
}

TEST_F(task_end, an_empty_generator_is_refused) {
  const auto ask = []() -> task<> {
    async_generator<int> none;
    co_await none.next();
  };

  EXPECT_THROW(sync_wait(ask()), invalid_state_error);
}

TEST_F(task_end, spawned_after_shutdown_fails_with_shutdown_error) {
  thread_pool_executor pool{1};
  pool.shutdown();

  auto f = spawn(pool, give(1));

  EXPECT_TRUE(f.done());
  EXPECT_THROW(f.get(), shutdown_error);
  EXPECT_EQ(counted::alive().load(), 0);
}

TEST_F(task_end, scheduled_after_shutdown_throws_shutdown_error_there) {
  thread_pool_executor pool{1};
  thread_pool_executor closed{1};
  closed.shutdown();
  auto f = spawn(pool, [&closed]() -> task<int> {
    try {
      co_await schedule(closed);
    } catch (const shutdown_error&) {
      co_return 1;
    }
    co_return 0;
  });

  EXPECT_EQ(f.get(), 1);
}

TEST_F(task_end, shutdown_waits_for_a_suspended_task) {
  std::optional<thread_pool_executor> pool{std::in_place, 1};
  promise<int> later;
  auto f = spawn(*pool, await_deeper(later.get_future()));
  settle(*pool);
  other_thread closer{[&] { pool.reset(); }};
  closer.await_asleep();

  later.set_value(1);

  closer.join();
  EXPECT_EQ(f.get(), 2);
}

/// A task that is queued, to go on.
struct queued_task {
  queued_task() {
    queue.run_one();
    later.set_value(1);
  }

  manual_executor queue;
  promise<int> later;
  future<int> f = spawn(queue, await_deeper(later.get_future()));
};

TEST_F(task_end, that_was_to_go_on_when_its_executor_cancels_goes_on) {
  queued_task queued;

  queued.queue.shutdown({.cancel_pending = true});

  EXPECT_EQ(queued.f.get(), 2);
}

TEST_F(task_end, that_was_to_go_on_when_its_executor_ended_is_told_so) {
  queued_task queued;

  queued.queue.shutdown({.wait = false, .cancel_pending = true});

  EXPECT_THROW(queued.f.get(), cancelled_error);
}

TEST_F(task_end, shutdown_without_waiting_lets_it_end) {
  suspended_task suspended;

  suspended.pool.shutdown({.wait = false});
  EXPECT_THROW(static_cast<void>(suspended.pool.submit([] {})), shutdown_error);
  suspended.later.set_value(1);

  EXPECT_EQ(suspended.f.get(), 2);
}

TEST_F(task_end, shutdown_waits_though_all_workers_have_retired) {
  thread_pool_executor pool{{.max_workers = 1, .idle_timeout = std::chrono::nanoseconds{1}}};
  promise<int> later;
  auto f = spawn(pool, await(later.get_future()));
  settle(pool);
  other_thread closer{[&] { pool.shutdown(); }};
  closer.await_asleep();

  later.set_value(1);

  closer.join();
  EXPECT_EQ(f.get(), 1);
}

TEST_F(task_end, a_pool_destroyed_by_its_own_call_lives_until_its_tasks_end) {
  auto pool = std::make_unique<thread_pool_executor>(1);
  promise<int> later;
  auto f = spawn(*pool, await(later.get_future()));
  settle(*pool);
  auto& alias = *pool;
  alias.submit([p = std::move(pool)]() mutable { p.reset(); }).get();

  later.set_value(1);

  EXPECT_EQ(f.get(), 1);
}

TEST_F(task_end, cancel_pending_does_not_cancel_what_has_begun) {
  thread_pool_executor pool{1};
  promise<int> later;
  auto f = spawn(pool, await(later.get_future()));
  settle(pool);
  // Its rest is in the queue when the pool shuts down.
  auto busy = pool.submit([&] {
    later.set_value(1);
    pool.shutdown({.cancel_pending = true});
  });

  busy.get();

  EXPECT_EQ(f.get(), 1);
}

TEST_F(task_end, cancel_pending_cancels_what_has_not_begun) {
  thread_pool_executor pool{1};
  std::optional<future<int>> f;
  auto busy = pool.submit([&] {
    f = spawn(pool, give(1));
    pool.shutdown({.cancel_pending = true});
  });

  busy.get();

  EXPECT_TRUE(f->cancelled());
  EXPECT_EQ(counted::alive().load(), 0);
}

TEST_F(task_end, a_shutdown_deadline_stops_it) {
  thread_pool_executor pool{1};
  promise<int> never;
  auto f = spawn(pool, await_deeper(never.get_future()));
  settle(pool);

  const auto report = pool.shutdown({.deadline = std::chrono::nanoseconds{0}, .grace = long_time});

  EXPECT_TRUE(report.complete);
  EXPECT_THROW(f.get(), cancelled_error);
}

TEST_F(task_end, a_shutdown_reports_tasks_that_do_not_end) {
  thread_pool_executor pool{1};
  promise<int> never;
  promise<int> later;
  const auto stubborn = [](future<int> first, future<int> second) -> task<> {
    try {
      co_await first;
    } catch (const cancelled_error&) {
    }
    try {
      second.wait();
    } catch (const cancelled_error&) {
    }
  };
  auto f = spawn(pool, {.name = "stubborn"}, stubborn(never.get_future(), later.get_future()));
  settle(pool);

  const auto report = pool.shutdown({.deadline = std::chrono::nanoseconds{0}, .grace = short_time});
  later.set_value(1);

  EXPECT_FALSE(report.complete);
  EXPECT_EQ(report.names.at(0), "stubborn");
  f.get();
}

TEST_F(task_end, a_pool_is_not_idle_while_a_task_is_suspended) {
  suspended_task suspended;

  EXPECT_FALSE(suspended.pool.wait_idle_for(std::chrono::milliseconds{1}));

  suspended.later.set_value(1);
  suspended.pool.wait_idle();
  EXPECT_TRUE(suspended.f.done());
  EXPECT_EQ(suspended.f.get(), 2);
}

TEST_F(task_end, a_paused_pool_is_idle_though_a_task_waits_for_the_end_of_the_pause) {
  suspended_task suspended;
  suspended.pool.pause();
  suspended.later.set_value(1);

  suspended.pool.wait_idle();

  EXPECT_FALSE(suspended.f.done());
  suspended.pool.resume();
  EXPECT_EQ(suspended.f.get(), 2);
}

TEST_F(task_end, a_pool_that_breaks_fails_its_suspended_tasks) {
  std::atomic<bool> no_more{false};
  thread_pool_executor pool{{.max_workers = 1,
                             .initializer =
                                 [&no_more] {
                                   if (no_more) throw std::runtime_error{"no more"};
                                 },
                             .idle_timeout = std::chrono::nanoseconds{1}}};
  promise<int> later;
  auto f = spawn(pool, await_deeper(later.get_future()));
  settle(pool);
  while (pool.stats().workers != 0) std::this_thread::yield();
  no_more = true;

  later.set_value(1);

  EXPECT_THROW(f.get(), broken_executor);
}

TEST_F(task_end, an_executor_that_refuses_the_rest_fails_it) {
  inline_executor here;
  promise<int> later;
  auto f = spawn(here, await_deeper(later.get_future()));
  here.shutdown();

  later.set_value(1);

  EXPECT_THROW(f.get(), shutdown_error);
  EXPECT_EQ(counted::alive().load(), 0);
}

TEST_F(task_end, dropped_before_it_begins_destroys_its_arguments) {
  {
    const auto dropped = await(promise<int>{}.get_future());
    EXPECT_EQ(counted::alive().load(), 1);
  }

  EXPECT_EQ(counted::alive().load(), 0);
}

async_generator<int> endless(counted = {}) {
  for (int i = 0;; ++i) co_yield i;
}

TEST_F(task_end, a_generator_dropped_while_it_yields_is_destroyed) {
  const auto two = []() -> task<int> {
    auto values = endless();
    const auto a = co_await values.next();
    const auto b = co_await values.next();
    co_return *a + *b;
  };

  EXPECT_EQ(sync_wait(two()), 1);
}

TEST_F(task_end, a_dropped_future_does_not_stop_the_task) {
  thread_pool_executor pool{1};
  promise<int> go;
  promise<int> ran;
  {
    const auto forgotten =
        spawn(pool, [f = go.get_future(), &ran]() -> task<> { ran.set_value(co_await f); });
  }

  go.set_value(3);

  EXPECT_EQ(ran.get_future().get(), 3);
}

TEST_F(task_end, a_promise_that_is_dropped_ends_who_awaits_it) {
  thread_pool_executor pool{1};
  std::optional<promise<int>> p{std::in_place};
  auto f = spawn(pool, await_deeper(p->get_future()));
  settle(pool);

  p.reset();

  EXPECT_THROW(f.get(), broken_promise);
}

}  // namespace
}  // namespace cadre::test
