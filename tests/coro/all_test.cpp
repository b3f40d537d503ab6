// SPDX-License-Identifier: MIT
// all(): values, errors and places of tasks that are awaited at once.
#include <gtest/gtest.h>
#include <cadre/all.hpp>
#include <cadre/async_generator.hpp>
#include <cadre/errors.hpp>
#include <cadre/inline_executor.hpp>
#include <cadre/manual_executor.hpp>
#include <cadre/promise.hpp>
#include <cadre/this_worker.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <algorithm>
#include <atomic>
#include <latch>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "coro/tasks.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

class all_tasks : public frames_test {};

task<std::string> name() { co_return std::string{this_worker::pool()}; }
task<> add(std::atomic<int>& to, int n, counted = {}) {
  to += n;
  co_return;
}
task<int&> refer(int& n) { co_return n; }
task<std::unique_ptr<int>> own(int n) { co_return std::make_unique<int>(n); }
task<int> fail(std::string why, counted = {}) {
  throw std::runtime_error{why};
  co_return 0;
}

task<long> fib(int n, counted = {}) {
  if (n < 2) co_return n;
  auto [a, b] = co_await all(fib(n - 1), fib(n - 2));
  co_return a + b;
}

/// Adds up what a tree of tasks with ten branches each has at its leaves.
task<long> sum_of_leaves(long first, long count, counted = {}) {
  if (count == 1) co_return first;
  std::vector<task<long>> branches;
  for (long i = 0; i < 10; ++i) {
    branches.push_back(sum_of_leaves(first + i * count / 10, count / 10));
  }
  const std::vector<long> sums = co_await all(std::move(branches));
  co_return std::accumulate(sums.begin(), sums.end(), 0L);
}

TEST_F(all_tasks, give_their_values_in_order) {
  int n = 3;
  std::atomic<int> sum{0};
  const auto await_them = [&]() -> task<> {
    auto [one, two, three, nothing] = co_await all(give(1), own(2), refer(n), add(sum, 4));
    EXPECT_EQ(one, 1);
    EXPECT_EQ(*two, 2);
    EXPECT_EQ(&three, &n);
    static_assert(std::is_same_v<decltype(nothing), std::monostate>);
    EXPECT_EQ(sum, 4);
  };

  sync_wait(await_them());
}

TEST_F(all_tasks, may_be_one) {
  const auto await_it = []() -> task<int> { co_return std::get<0>(co_await all(give(1))); };

  EXPECT_EQ(sync_wait(await_it()), 1);
}

TEST_F(all_tasks, may_be_a_list) {
  const auto await_them = [](int count) -> task<std::vector<int>> {
    std::vector<task<int>> tasks;
    for (int i = 0; i < count; ++i) tasks.push_back(give(i));
    co_return co_await all(std::move(tasks));
  };

  EXPECT_EQ(sync_wait(await_them(0)), std::vector<int>{});
  EXPECT_EQ(sync_wait(await_them(1)), std::vector<int>{0});
  EXPECT_EQ(sync_wait(await_them(4)), (std::vector<int>{0, 1, 2, 3}));
}

TEST_F(all_tasks, of_a_list_may_give_nothing) {
  std::atomic<int> sum{0};
  const auto await_them = [&]() -> task<> {
    std::vector<task<>> tasks;
    for (int i = 1; i <= 100; ++i) tasks.push_back(add(sum, i));
    co_await all(std::move(tasks));
  };

  sync_wait(await_them());

  EXPECT_EQ(sum, 5050);
}

TEST_F(all_tasks, must_not_be_empty) {
  const auto await_them = []() -> task<> { co_await all(give(1), task<int>{}); };

  EXPECT_THROW(sync_wait(await_them()), invalid_state_error);
}

TEST_F(all_tasks, recur_on_any_number_of_workers) {
  for (const unsigned workers : {1U, 2U, 3U, 8U}) {
    thread_pool_executor pool{{.max_workers = workers}};

    EXPECT_EQ(spawn(pool, fib(18)).get(), 2584);
    EXPECT_EQ(spawn(pool, sum_of_leaves(0, 10'000)).get(), 49'995'000);
  }
}

TEST_F(all_tasks, recur_on_other_executors) {
  inline_executor here;
  manual_executor queue;
  auto in_queue = spawn(queue, fib(10));

  EXPECT_EQ(sync_wait(fib(10)), 55);
  EXPECT_EQ(spawn(here, fib(10)).get(), 55);
  while (queue.run_one()) continue;
  EXPECT_EQ(in_queue.get(), 55);
}

TEST_F(all_tasks, recur_with_a_priority) {
  thread_pool_executor pool{2};

  EXPECT_EQ(spawn(pool, {.priority = 1}, fib(12)).get(), 144);
}

TEST_F(all_tasks, count_as_what_workers_took) {
  thread_pool_executor pool{{.max_workers = 1}};

  spawn(pool, fib(10)).get();
  settle(pool);

  const executor_stats stats = pool.stats();
  EXPECT_EQ(stats.pending, 0U);
  EXPECT_EQ(stats.running, 0U);
  EXPECT_EQ(stats.submitted, 2U) << "one worker takes them back";
  EXPECT_EQ(stats.finished, 2U);
}

TEST_F(all_tasks, of_a_full_pool_do_not_wait_for_room) {
  thread_pool_executor pool{{.max_workers = 2, .max_pending = 1}};

  EXPECT_EQ(spawn(pool, fib(12)).get(), 144);
  for (int i = 0; i < 10; ++i) settle(pool);
}

// Each waits for the other one on a thread of its own.
TEST_F(all_tasks, are_taken_by_idle_workers) {
  thread_pool_executor pool{{.max_workers = 3}};
  std::latch together{3};
  const auto meet = [&](counted) -> task<> {
    together.arrive_and_wait();
    co_return;
  };
  const auto await_them = [&]() -> task<> { co_await all(meet({}), meet({}), meet({})); };

  EXPECT_TRUE(spawn(pool, await_them()).wait_for(long_time));
}

task<int> answer_later(promise<int>& p, counted = {}) {
  p.set_value(42);
  co_return 1;
}

// The first waits for what the second one does.
TEST_F(all_tasks, go_on_while_one_is_suspended) {
  const auto await_them = [](counted) -> task<int> {
    promise<int> p;
    auto [first, second] = co_await all(await(p.get_future()), answer_later(p));
    co_return first + second;
  };
  thread_pool_executor pool{{.max_workers = 1}};

  EXPECT_EQ(spawn(pool, await_them({})).get_for(medium_time), 43);
  EXPECT_EQ(sync_wait(await_them({})), 43);
}

// What fails last, of those that are named first, is what is thrown.
TEST_F(all_tasks, that_fail_are_waited_for_and_the_first_is_named) {
  std::atomic<int> ran{0};
  const auto fail_late = [&](future<int> f, counted) -> task<> {
    co_await f;
    ++ran;
    throw std::runtime_error{"late"};
  };
  promise<int> p;
  const auto await_them = [&]() -> task<> {
    co_await all(give(1), fail_late(p.get_future(), {}), fail("soon"), add(ran, 1),
                 answer_later(p));
  };

  try {
    sync_wait(await_them());
    ADD_FAILURE() << "nothing was thrown";
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "late");
  }
  EXPECT_EQ(ran, 2);
}

TEST_F(all_tasks, may_use_what_the_task_that_awaits_them_has) {
  const auto await_them = [](counted) -> task<int> {
    std::atomic<int> sum{0};
    const auto add_here = [&](int n) -> task<> {
      sum += n;
      co_return;
    };
    for (int i = 0; i < 1000; ++i) co_await all(add_here(1), add_here(2), add_here(3));
    co_return sum;
  };
  thread_pool_executor pool{{.max_workers = 3}};

  EXPECT_EQ(spawn(pool, await_them({})).get(), 6000);
}

TEST_F(all_tasks, may_move_and_the_task_that_awaits_them_goes_on_where_it_was) {
  thread_pool_executor home{{.max_workers = 2, .thread_name_prefix = "home"}};
  thread_pool_executor other{{.max_workers = 2, .thread_name_prefix = "other"}};
  const auto move = [&](counted) -> task<std::string> {
    co_await schedule(other);
    co_return co_await name();
  };
  const auto await_them = [&](counted) -> task<std::string> {
    auto [a, b, c] = co_await all(move({}), name(), move({}));
    const std::string here = co_await name();
    co_return a + ' ' + b + ' ' + c + ' ' + here;
  };

  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(spawn(home, await_them({})).get(), "other home other home");
  }
}

TEST_F(all_tasks, can_be_awaited_by_a_generator) {
  const auto sums = [](counted) -> async_generator<long> {
    for (int n = 5; n < 8; ++n) {
      auto [a, b] = co_await all(fib(n - 1), fib(n - 2));
      co_yield a + b;
    }
  };
  const auto add_up = [&]() -> task<long> {
    auto from = sums({});
    long all_of_them = 0;
    while (auto next = co_await from.next()) all_of_them += *next;
    co_return all_of_them;
  };

  EXPECT_EQ(sync_wait(add_up()), 5 + 8 + 13);
}

TEST_F(all_tasks, begin_in_order_where_there_is_one_thread) {
  const auto note = [](std::string& order, char name, counted) -> task<> {
    order += name;
    co_return;
  };
  const auto await_them = [&](counted) -> task<std::string> {
    std::string order;
    co_await all(note(order, 'a', {}), note(order, 'b', {}), note(order, 'c', {}));
    co_return order;
  };
  thread_pool_executor pool{{.max_workers = 1}};
  inline_executor here;

  EXPECT_EQ(spawn(pool, await_them({})).get(), "abc");
  EXPECT_EQ(spawn(here, await_them({})).get(), "abc");
  EXPECT_EQ(sync_wait(await_them({})), "abc");
}

// The second one is to do what the first one waits for, which it waits for within a call.
TEST_F(all_tasks, within_a_task_of_an_inline_executor_do_not_wait_for_that) {
  inline_executor here;
  const auto inner = [](counted) -> task<int> {
    promise<int> p;
    auto [first, second] = co_await all(await(p.get_future()), answer_later(p));
    co_return first + second;
  };
  const auto outer = [&](promise<int>& begin, counted) -> task<int> {
    const auto block = [&](counted) -> task<int> { co_return spawn(here, inner({})).get(); };
    auto [a, b] = co_await all(await(begin.get_future()), block({}));
    co_return a + b;
  };
  promise<int> begin;
  auto f = spawn(here, outer(begin, {}));

  begin.set_value(1);

  EXPECT_EQ(f.get_for(medium_time), 44);
}

TEST_F(all_tasks, of_a_list_may_be_references_or_const) {
  int n = 1;
  const auto give_const = [](counted) -> task<const int> { co_return 2; };
  const auto await_them = [&](counted) -> task<> {
    std::vector<task<int&>> references;
    references.push_back(refer(n));
    EXPECT_EQ(&(co_await all(std::move(references)))[0].get(), &n);
    std::vector<task<const int>> constants;
    constants.push_back(give_const({}));
    EXPECT_EQ((co_await all(std::move(constants)))[0], 2);
  };

  sync_wait(await_them({}));
}

TEST_F(all_tasks, cannot_be_awaited_twice) {
  const auto await_them = [](counted) -> task<> {
    std::vector<task<int>> tasks;
    tasks.push_back(give(1));
    auto twice = all(std::move(tasks));
    co_await std::move(twice);
    co_await std::move(twice);
  };

  EXPECT_THROW(sync_wait(await_them({})), invalid_state_error);
}

// --- stack ---

TEST_F(all_tasks, in_a_row_take_no_stack) {
  const auto await_them = []() -> task<int> {
    int sum = 0;
    for (int i = 0; i < 100'000; ++i) {
      auto [a, b] = co_await all(give(1), give(1));
      sum += a + b;
    }
    co_return sum;
  };
  thread_pool_executor pool{{.max_workers = 1}};

  EXPECT_EQ(spawn(pool, await_them()).get(), 200'000);
  EXPECT_EQ(sync_wait(await_them()), 200'000);
}

task<long> nested(int depth, bool deep_first) {
  if (depth == 0) co_return 1;
  auto deeper = nested(depth - 1, deep_first);
  if (deep_first) {
    auto [a, b] = co_await all(std::move(deeper), give(1));
    co_return a + b;
  }
  auto [a, b] = co_await all(give(1), std::move(deeper));
  co_return a + b;
}

TEST_F(all_tasks, one_in_the_other_take_no_stack) {
  thread_pool_executor pool{{.max_workers = 2}};
  inline_executor here;

  for (const bool deep_first : {false, true}) {
    EXPECT_EQ(spawn(pool, nested(100'000, deep_first)).get(), 100'001);
    EXPECT_EQ(spawn(here, nested(100'000, deep_first)).get(), 100'001);
    EXPECT_EQ(sync_wait(nested(100'000, deep_first)), 100'001);
  }
}

}  // namespace
}  // namespace cadre::test
