// SPDX-License-Identifier: MIT
// async_generator: values, errors, and generators that wait.
#include <gtest/gtest.h>
#include <cadre/async_generator.hpp>
#include <cadre/coro.hpp>
#include <cadre/promise.hpp>
#include <cadre/this_worker.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "coro/frames.hpp"

namespace cadre::test {
namespace {

class generator : public frames_test {};

async_generator<std::unique_ptr<int>> up_to(int n, counted = {}) {
  for (int i = 1; i <= n; ++i) co_yield std::make_unique<int>(i);
}

TEST_F(generator, gives_its_values_then_nothing) {
  const auto digits = []() -> task<int> {
    auto values = up_to(3);
    int result = 0;
    while (auto v = co_await values.next()) result = 10 * result + **v;
    co_return (co_await values.next()) ? -1 : result;
  };

  EXPECT_EQ(sync_wait(digits()), 123);
}

async_generator<int> one_then_throw(counted = {}) {
  co_yield 1;
  throw std::runtime_error{"after one"};
}

TEST_F(generator, throws_once_and_then_is_at_its_end) {
  const auto ask = []() -> task<std::string> {
    auto values = one_then_throw();
    std::string trace = std::to_string((co_await values.next()).value());
    try {
      co_await values.next();
    } catch (const std::runtime_error& e) {
      trace += e.what();
    }
    co_return trace + ((co_await values.next()) ? " more" : " end");
  };

  EXPECT_EQ(sync_wait(ask()), "1after one end");
}

async_generator<int> in_order_of_completion(std::vector<future<int>> calls, counted = {}) {
  auto done = as_completed(std::move(calls));
  while (auto f = co_await next_completed(done)) co_yield f->get();
}

TEST_F(generator, awaits_between_its_values) {
  thread_pool_executor pool{1};
  std::vector<promise<int>> promises(3);
  std::vector<future<int>> futures;
  for (auto& p : promises) futures.push_back(p.get_future());
  auto f = spawn(pool, [all = std::move(futures)]() -> task<int> {
    auto values = in_order_of_completion(all);
    int digits = 0;
    while (auto v = co_await values.next()) digits = 10 * digits + *v;
    co_return digits;
  });
  pool.submit([] {}).get();

  promises[2].set_value(1);
  promises[0].set_value(2);
  promises[1].set_value(3);

  EXPECT_EQ(f.get(), 123);
}

async_generator<std::string> places(thread_pool_executor& there, counted = {}) {
  co_yield std::string{this_worker::pool()};
  co_await schedule(there);
  co_yield std::string{this_worker::pool()};
  co_yield std::string{this_worker::pool()};
}

TEST_F(generator, that_moved_runs_there_and_its_reader_at_home) {
  thread_pool_executor home{{.max_workers = 1, .thread_name_prefix = "home"}};
  thread_pool_executor far{{.max_workers = 1, .thread_name_prefix = "far"}};
  auto f = spawn(home, [&far]() -> task<std::string> {
    auto values = places(far);
    std::string trace;
    while (auto v = co_await values.next())
      trace += *v + '>' + std::string{this_worker::pool()} + ' ';
    co_return trace;
  });

  EXPECT_EQ(f.get(), "home>home far>home far>home ");
}

TEST_F(generator, that_moved_can_be_read_by_another_task) {
  thread_pool_executor far{{.max_workers = 1, .thread_name_prefix = "far"}};
  auto values = places(far);
  const auto read = [](async_generator<std::string>& from) -> task<std::string> {
    co_return (co_await from.next()).value();
  };
  sync_wait(read(values));
  sync_wait(read(values));

  EXPECT_EQ(sync_wait(read(values)), "far");
}

}  // namespace
}  // namespace cadre::test
