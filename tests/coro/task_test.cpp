// SPDX-License-Identifier: MIT
// task<T>, spawn and sync_wait: values, errors, places.
#include <gtest/gtest.h>
#include <cadre/coro.hpp>
#include <cadre/errors.hpp>
#include <cadre/inline_executor.hpp>
#include <cadre/promise.hpp>
#include <cadre/this_worker.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "coro/tasks.hpp"

namespace cadre::test {
namespace {

static_assert(sizeof(detail::spawned<void*>) <= 128, "two cache lines, as coro.hpp says");

task<int> fail(std::string why, counted = {}) {
  throw std::runtime_error{why};
  co_return 0;
}
task<> nothing() { co_return; }
task<int&> refer(int& n) { co_return n; }
task<std::unique_ptr<int>> own(int n) { co_return std::make_unique<int>(n); }

class task_test : public frames_test {};

TEST_F(task_test, sync_wait_returns_the_value) { EXPECT_EQ(sync_wait(give(42)), 42); }

TEST_F(task_test, sync_wait_throws_what_the_task_throws) {
  EXPECT_THROW(sync_wait(fail("x")), std::runtime_error);
}

TEST_F(task_test, results_may_be_void_references_or_move_only) {
  int n = 0;

  sync_wait(nothing());
  sync_wait(refer(n)) = 7;

  EXPECT_EQ(n, 7);
  EXPECT_EQ(*sync_wait(own(3)), 3);
}

TEST_F(task_test, spawned_on_a_pool_runs_on_its_worker) {
  thread_pool_executor pool{{.max_workers = 1, .thread_name_prefix = "here"}};
  const auto where = []() -> task<std::string> { co_return std::string{this_worker::pool()}; };

  EXPECT_EQ(spawn(pool, where()).get(), "here");
}

TEST_F(task_test, a_future_has_what_the_task_throws) {
  thread_pool_executor pool{1};

  EXPECT_THROW(spawn(pool, fail("x")).get(), std::runtime_error);
}

TEST_F(task_test, does_nothing_until_it_is_awaited) {
  bool ran = false;
  {
    const auto set = [](bool& flag, counted) -> task<> {
      flag = true;
      co_return;
    };
    const task<> dropped = set(ran, {});
  }

  EXPECT_FALSE(ran);
}

task<int> sum_of(int a, int b) {
  const int x = co_await give(a);
  const int y = co_await give(b);
  co_return x + y;
}

TEST_F(task_test, awaits_tasks) { EXPECT_EQ(sync_wait(sum_of(2, 3)), 5); }

task<std::string> caught() {
  try {
    co_await fail("inner");
  } catch (const std::runtime_error& e) {
    co_return e.what();
  }
  co_return "nothing";
}

TEST_F(task_test, can_catch_what_an_awaited_task_throws) {
  EXPECT_EQ(sync_wait(caught()), "inner");
}

task<int> plus_one(future<int> f, counted = {}) { co_return co_await f + 1; }

TEST_F(task_test, awaits_a_future_without_blocking_the_worker) {
  thread_pool_executor pool{1};
  promise<int> later;
  auto waiting = spawn(pool, plus_one(later.get_future()));

  const int meanwhile = pool.submit([] { return 7; }).get();
  later.set_value(41);

  EXPECT_EQ(meanwhile, 7);
  EXPECT_EQ(waiting.get(), 42);
}

TEST_F(task_test, awaits_a_future_that_is_done) {
  promise<int> now;
  now.set_value(1);

  EXPECT_EQ(sync_wait(plus_one(now.get_future())), 2);
}

TEST_F(task_test, gets_what_the_awaited_future_threw) {
  thread_pool_executor pool{1};
  promise<int> later;
  auto waiting = spawn(pool, plus_one(later.get_future()));

  later.set_exception(std::make_exception_ptr(std::out_of_range{"far"}));

  EXPECT_THROW(waiting.get(), std::out_of_range);
}

TEST_F(task_test, gets_cancelled_error_from_a_cancelled_future) {
  promise<int> never;
  future<int> f = never.get_future();
  f.cancel();

  EXPECT_THROW(sync_wait(plus_one(f)), cancelled_error);
}

TEST_F(task_test, moves_the_value_out_of_an_rvalue_future) {
  promise<std::unique_ptr<int>> p;
  p.set_value(std::make_unique<int>(5));
  const auto take = [](future<std::unique_ptr<int>> f) -> task<int> {
    const std::unique_ptr<int> value = co_await std::move(f);
    co_return *value;
  };

  EXPECT_EQ(sync_wait(take(p.get_future())), 5);
}

TEST_F(task_test, goes_on_at_its_own_executor) {
  thread_pool_executor home{{.max_workers = 1, .thread_name_prefix = "home"}};
  thread_pool_executor other{{.max_workers = 1, .thread_name_prefix = "other"}};
  const auto where = [](thread_pool_executor& far) -> task<std::string> {
    auto f = far.submit([] { return std::string{this_worker::pool()}; });
    std::string trace = co_await f;
    co_return trace + " " + std::string{this_worker::pool()};
  };

  EXPECT_EQ(spawn(home, where(other)).get(), "other home");
}

task<std::string> visit(thread_pool_executor& there) {
  co_await schedule(there);
  co_return std::string{this_worker::pool()};
}

TEST_F(task_test, schedule_moves_it_and_its_parent_goes_on_where_that_was) {
  thread_pool_executor home{{.max_workers = 1, .thread_name_prefix = "home"}};
  thread_pool_executor other{{.max_workers = 1, .thread_name_prefix = "other"}};
  const auto round_trip = [](thread_pool_executor& far) -> task<std::string> {
    const std::string there = co_await visit(far);
    co_return there + " " + std::string{this_worker::pool()};
  };

  EXPECT_EQ(spawn(home, round_trip(other)).get(), "other home");
}

TEST_F(task_test, sync_wait_goes_on_at_the_calling_thread) {
  thread_pool_executor pool{1};
  const auto ids = [](thread_pool_executor& far) -> task<bool> {
    const auto here = std::this_thread::get_id();
    co_await visit(far);
    co_return here == std::this_thread::get_id();
  };

  EXPECT_TRUE(sync_wait(ids(pool)));
}

TEST_F(task_test, awaits_when_all_and_when_any) {
  thread_pool_executor pool{2};
  const auto both = [](thread_pool_executor& where) -> task<int> {
    auto a = where.submit([] { return 1; });
    auto b = where.submit([] { return 2; });
    auto any = when_any(a, b);
    const auto first = co_await any;
    auto all = when_all(a, b);
    co_await all;
    co_return first.index < 2 ? a.get() + b.get() : -1;
  };

  EXPECT_EQ(spawn(pool, both(pool)).get(), 3);
}

TEST_F(task_test, next_completed_gives_each_future_once) {
  thread_pool_executor pool{2};
  const auto add = [](thread_pool_executor& where) -> task<int> {
    std::vector<future<int>> calls;
    for (int i = 1; i <= 100; ++i) calls.push_back(where.submit([i] { return i; }));
    auto results = as_completed(calls);
    int sum = 0;
    while (auto f = co_await next_completed(results)) sum += f->get();
    co_return sum;
  };

  EXPECT_EQ(spawn(pool, add(pool)).get(), 5050);
}

TEST_F(task_test, next_completed_suspends_until_there_is_one) {
  thread_pool_executor pool{1};
  std::vector<promise<int>> promises(2);
  std::vector<future<int>> futures;
  for (auto& p : promises) futures.push_back(p.get_future());
  const auto in_order = [](std::vector<future<int>> all) -> task<int> {
    auto results = as_completed(std::move(all));
    int digits = 0;
    while (auto f = co_await next_completed(results)) digits = 10 * digits + f->get();
    co_return digits;
  };
  auto f = spawn(pool, in_order(std::move(futures)));
  pool.submit([] {}).get();

  promises[1].set_value(1);
  promises[0].set_value(2);

  EXPECT_EQ(f.get(), 12);
}

TEST_F(task_test, spawn_keeps_a_lambda_with_captures) {
  thread_pool_executor pool{1};
  promise<int> later;
  auto f = spawn(pool, [text = std::string(100, 'x'), wait = later.get_future()]() -> task<int> {
    const int n = co_await wait;
    co_return n + static_cast<int>(text.size());
  });

  later.set_value(1);

  EXPECT_EQ(f.get(), 101);
}

TEST_F(task_test, runs_inline_on_an_inline_executor) {
  inline_executor here;
  promise<int> later;
  auto f = spawn(here, plus_one(later.get_future()));

  later.set_value(1);

  EXPECT_EQ(f.get(), 2);
}

TEST_F(task_test, sync_wait_on_a_worker_lets_the_pool_go_on) {
  thread_pool_executor pool{1};
  const auto nested = [](thread_pool_executor& where) -> task<int> {
    auto f = where.submit([] { return 5; });
    co_return co_await f;
  };

  EXPECT_EQ(pool.submit([&] { return sync_wait(nested(pool)); }).get(), 5);
}

TEST_F(task_test, a_waiting_worker_runs_a_task_that_has_not_begun) {
  thread_pool_executor pool{1};
  const auto id = []() -> task<std::thread::id> { co_return std::this_thread::get_id(); };

  EXPECT_TRUE(pool.submit([&] {
                    auto f = spawn(pool, id());
                    return f.get() == std::this_thread::get_id();
                  })
                  .get());
}

/// An eager coroutine of somebody else's.
struct foreign {
  struct promise_type {
    foreign get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }
  };
};

foreign copy(future<int> f, int& to) { to = co_await f; }

TEST_F(task_test, coroutines_of_others_go_on_inline) {
  promise<int> later;
  int n = 0;
  copy(later.get_future(), n);

  later.set_value(9);

  EXPECT_EQ(n, 9);
}

TEST_F(task_test, stats_count_each_stretch_as_a_call) {
  thread_pool_executor pool{1};
  promise<int> later;
  auto f = spawn(pool, plus_one(later.get_future()));
  pool.submit([] {}).get();

  later.set_value(1);
  f.get();
  pool.shutdown();

  EXPECT_EQ(pool.stats().finished, 3);
  EXPECT_EQ(pool.stats().running, 0);
  EXPECT_EQ(pool.stats().pending, 0);
}

}  // namespace
}  // namespace cadre::test
