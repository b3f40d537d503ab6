// SPDX-License-Identifier: MIT
// However many coroutines go on one after the other, or one inside the other: the stack is flat.
#include <gtest/gtest.h>
#include <pthread.h>
#include <cadre/async_generator.hpp>
#include <cadre/coro.hpp>
#include <cadre/promise.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <thread>

#include "coro/frames.hpp"
#include "support/sanitizers.hpp"

namespace cadre::test {
namespace {

class task_stack : public frames_test {};

constexpr int million = 1'000'000;

/// Runs `function` on a thread with as little stack as may be.
template <typename Function>
void on_small_stack(Function function) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, std::size_t{256} * 1024);
  pthread_t thread{};
  const auto main = [](void* f) -> void* {
    (*static_cast<Function*>(f))();
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&thread, &attributes, main, &function), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

task<int> one() { co_return 1; }

task<int> count_tasks(int n) {
  int sum = 0;
  for (int i = 0; i < n; ++i) sum += co_await one();
  co_return sum;
}

TEST_F(task_stack, is_flat_over_a_million_tasks_in_a_row) {
  on_small_stack([] { EXPECT_EQ(sync_wait(count_tasks(million)), million); });
}

task<int> count_futures(int n, future<int> f) {
  int sum = 0;
  for (int i = 0; i < n; ++i) sum += co_await f;
  co_return sum;
}

TEST_F(task_stack, is_flat_over_a_million_ready_futures) {
  promise<int> p;
  p.set_value(1);

  on_small_stack([&] { EXPECT_EQ(sync_wait(count_futures(million, p.get_future())), million); });
}

task<int> nest(int depth) {
  if (depth == 0) co_return 0;
  co_return co_await nest(depth - 1) + 1;
}

TEST_F(task_stack, is_flat_over_tasks_that_await_each_other) {
  const int depth = 100'000;

  on_small_stack([&] { EXPECT_EQ(sync_wait(nest(depth)), depth); });
}

async_generator<int> numbers(int n) {
  for (int i = 0; i < n; ++i) co_yield 1;
}
task<int> count_values(int n) {
  auto values = numbers(n);
  int sum = 0;
  while (auto v = co_await values.next()) sum += *v;
  co_return sum;
}

TEST_F(task_stack, is_flat_over_a_million_values_of_a_generator) {
  on_small_stack([] { EXPECT_EQ(sync_wait(count_values(million)), million); });
}

task<int> count_calls(int n, thread_pool_executor& pool) {
  int sum = 0;
  for (int i = 0; i < n; ++i) {
    auto f = pool.submit([] { return 1; });
    sum += co_await f;
  }
  co_return sum;
}

TEST_F(task_stack, is_flat_over_calls_that_suspend) {
  constexpr int calls = under_tsan || under_asan ? 20'000 : 200'000;
  thread_pool_executor pool{1};

  EXPECT_EQ(spawn(pool, count_calls(calls, pool)).get(), calls);
}

task<int> nest_spawned(int depth, thread_pool_executor& pool) {
  if (depth == 0) co_return 0;
  auto inner = spawn(pool, nest_spawned(depth - 1, pool));
  co_return co_await inner + 1;
}

TEST_F(task_stack, is_enough_for_spawned_tasks_that_await_each_other) {
  const int depth = 20'000;
  thread_pool_executor pool{2};

  EXPECT_EQ(spawn(pool, nest_spawned(depth, pool)).get(), depth);
}

}  // namespace
}  // namespace cadre::test
