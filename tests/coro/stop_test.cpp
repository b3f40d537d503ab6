// SPDX-License-Identifier: MIT
// A stop at each point where a task can be suspended, and what it reaches.
#include <gtest/gtest.h>
#include <cadre/async_generator.hpp>
#include <cadre/coro.hpp>
#include <cadre/errors.hpp>
#include <cadre/promise.hpp>
#include <cadre/this_worker.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <stop_token>
#include <thread>
#include <vector>

#include "coro/tasks.hpp"
#include "support/gate.hpp"
#include "support/other_thread.hpp"

namespace cadre::test {
namespace {

class task_stop : public frames_test {};

task<int> await_deeper(future<int> f, counted = {}) { co_return co_await await(f); }

TEST_F(task_stop, before_it_begins_cancels_it) {
  thread_pool_executor pool{1};
  const gate busy;
  auto holds_the_worker = pool.submit(&pass, busy.handle(), 0);
  promise<int> never;
  auto f = spawn(pool, await(never.get_future()));

  EXPECT_TRUE(f.request_stop());

  EXPECT_TRUE(f.cancelled());
  EXPECT_EQ(counted::alive().load(), 0);
  busy.open();
  holds_the_worker.wait();
}

TEST_F(task_stop, at_a_future_throws_at_once) {
  thread_pool_executor pool{1};
  promise<int> never;
  auto f = spawn(pool, await_deeper(never.get_future()));
  settle(pool);

  EXPECT_TRUE(f.request_stop());

  EXPECT_THROW(f.get(), cancelled_error);
}

TEST_F(task_stop, at_a_pending_future_cancels_it) {
  thread_pool_executor pool{1};
  promise<int> p;
  auto f = spawn(pool, await(p.get_future()));
  settle(pool);

  f.request_stop();

  EXPECT_TRUE(p.get_future().cancelled());
  EXPECT_THROW(f.get(), cancelled_error);
}

TEST_F(task_stop, at_a_running_call_reaches_its_stop_token) {
  thread_pool_executor home{1};
  thread_pool_executor other{1};
  const gate here;
  auto call = other.submit([at = here.handle()](std::stop_token stop) {
    pass(at, 0);
    return stop.stop_requested() ? 1 : 0;
  });
  here.await_arrivals(1);
  auto f = spawn(home, await(call));
  settle(home);

  f.request_stop();

  EXPECT_THROW(f.get(), cancelled_error);
  here.open();
  EXPECT_EQ(call.get(), 1);
}

TEST_F(task_stop, at_a_call_that_runs_within_the_wait_reaches_its_stop_token) {
  thread_pool_executor pool{1};
  const gate here;
  auto f = spawn(pool, [&pool, at = here.handle()]() -> task<int> {
    // Pending, as its only worker is here: so it runs here.
    auto call = pool.submit([at](std::stop_token stop) {
      pass(at, 0);
      return stop.stop_requested() ? 1 : 0;
    });
    try {
      co_await call;
    } catch (const cancelled_error&) {
    }
    co_return call.get();
  });
  here.await_arrivals(1);

  EXPECT_TRUE(f.request_stop());
  here.open();

  EXPECT_EQ(f.get(), 1);
}

TEST_F(task_stop, before_it_waits_is_seen_when_it_waits) {
  thread_pool_executor pool{1};
  const gate here;
  promise<int> never;
  auto f = spawn(pool, [at = here.handle(), f = never.get_future()]() -> task<int> {
    pass(at, 0);
    co_return co_await f;
  });
  here.await_arrivals(1);

  EXPECT_TRUE(f.request_stop());
  here.open();

  EXPECT_THROW(f.get(), cancelled_error);
}

TEST_F(task_stop, does_not_hide_a_result_that_is_there) {
  thread_pool_executor pool{1};
  const gate here;
  promise<int> p;
  p.set_value(42);
  auto f = spawn(pool, [at = here.handle(), f = p.get_future()]() -> task<int> {
    pass(at, 0);
    co_return co_await f;
  });
  here.await_arrivals(1);

  f.request_stop();
  here.open();

  EXPECT_EQ(f.get(), 42);
}

task<int> collect_all(std::vector<future<int>> all, counted = {}) {
  auto results = as_completed(std::move(all));
  int sum = 0;
  while (auto f = co_await next_completed(results)) sum += f->get();
  co_return sum;
}

TEST_F(task_stop, at_next_completed_throws_at_once) {
  thread_pool_executor pool{1};
  promise<int> never;
  auto f = spawn(pool, collect_all({never.get_future()}));
  settle(pool);

  f.request_stop();

  EXPECT_THROW(f.get(), cancelled_error);
}

async_generator<int> each(future<int> f, counted = {}) { co_yield co_await f; }
task<int> first_of(future<int> f, counted = {}) {
  auto values = each(f);
  co_return (co_await values.next()).value_or(0);
}

TEST_F(task_stop, within_a_generator_throws_there) {
  thread_pool_executor pool{1};
  promise<int> never;
  auto f = spawn(pool, first_of(never.get_future()));
  settle(pool);

  f.request_stop();

  EXPECT_THROW(f.get(), cancelled_error);
}

TEST_F(task_stop, while_it_is_queued_elsewhere_is_seen_there) {
  thread_pool_executor home{1};
  thread_pool_executor other{1};
  const gate busy;
  auto holds_the_worker = other.submit(&pass, busy.handle(), 0);
  auto f = spawn(home, [&other]() -> task<bool> {
    co_await schedule(other);
    const std::stop_token stop = co_await this_task::stop_token();
    co_return stop.stop_requested();
  });
  settle(home);

  EXPECT_TRUE(f.request_stop());
  busy.open();

  EXPECT_TRUE(f.get());
  holds_the_worker.wait();
}

TEST_F(task_stop, can_be_caught_to_clean_up) {
  thread_pool_executor pool{1};
  promise<int> never;
  auto f = spawn(pool, [&pool, f = never.get_future()]() -> task<int> {
    try {
      co_return co_await f;
    } catch (const cancelled_error&) {
    }
    auto last_words = pool.submit([] { return 7; });
    last_words.wait();  // done: a co_await of what is not would throw again
    co_return co_await last_words;
  });
  settle(pool);

  f.request_stop();

  EXPECT_EQ(f.get(), 7);
}

TEST_F(task_stop, comes_from_the_token_given_to_spawn) {
  thread_pool_executor pool{1};
  std::stop_source source;
  promise<int> never;
  auto f = spawn(pool, {.stop_token = source.get_token()}, await(never.get_future()));
  settle(pool);

  source.request_stop();

  EXPECT_THROW(f.get(), cancelled_error);
}

TEST_F(task_stop, given_to_spawn_before_keeps_it_from_beginning) {
  thread_pool_executor pool{1};
  std::stop_source source;
  source.request_stop();
  promise<int> never;

  auto f = spawn(pool, {.stop_token = source.get_token()}, await(never.get_future()));

  EXPECT_TRUE(f.cancelled());
}

TEST_F(task_stop, ends_a_sync_wait) {
  std::stop_source source;
  promise<int> never;
  other_thread waiter{[&] {
    EXPECT_THROW(sync_wait(await(never.get_future()), source.get_token()), cancelled_error);
  }};
  waiter.await_asleep();

  source.request_stop();

  waiter.join();
}

TEST_F(task_stop, of_the_call_around_a_sync_wait_is_seen_and_can_be_passed_on) {
  thread_pool_executor pool{1};
  const gate in_task;
  promise<int> never;
  const auto waits = [&](const std::stop_token& outer) -> task<bool> {
    const bool seen = this_worker::stop_token() == outer;
    arrive(in_task.handle(), 0);
    try {
      co_await never.get_future();
    } catch (const cancelled_error&) {
      co_return seen;
    }
    co_return false;
  };
  const auto f = pool.submit([&](const std::stop_token& outer) {
    return sync_wait(waits(outer), this_worker::stop_token());
  });
  in_task.await_arrivals(1);

  f.request_stop();

  EXPECT_TRUE(f.get());
}

TEST_F(task_stop, racing_with_the_result_gives_one_or_the_other) {
  thread_pool_executor pool{2};
  for (int i = 0; i < 2000; ++i) {
    promise<int> p;
    auto f = spawn(pool, await(p.get_future()));
    if (i % 2 == 0) settle(pool);
    auto stop = pool.submit([&] { f.request_stop(); });
    if (p.set_running()) p.set_value(1);
    stop.get();
    try {
      EXPECT_EQ(f.get(), 1);
    } catch (const cancelled_error&) {
    }
  }
}

TEST_F(task_stop, racing_with_next_completed_gives_one_or_the_other) {
  thread_pool_executor pool{2};
  for (int i = 0; i < 2000; ++i) {
    promise<int> p;
    auto f = spawn(pool, collect_all({p.get_future()}));
    if (i % 2 == 0) settle(pool);
    auto stop = pool.submit([&] { f.request_stop(); });
    p.set_value(1);
    stop.get();
    try {
      EXPECT_EQ(f.get(), 1);
    } catch (const cancelled_error&) {
    }
  }
}

}  // namespace
}  // namespace cadre::test
