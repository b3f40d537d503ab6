// SPDX-License-Identifier: MIT
// The initializer of a pool, which runs first on each worker. Source: CPython's test_init.py.
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "conformance/example_futures.hpp"
#include "support/gate.hpp"
#include "support/unhandled_log.hpp"

namespace cadre::test {
namespace {

thread_local std::string status = "uninitialized";

void wait_then_throw(const gate& here) {
  pass(here.handle(), 0);
  throw disk_full{};
}

}  // namespace

TEST(init, the_initializer_runs_on_each_worker_before_its_calls) {
  const gate here;
  thread_pool_executor pool{{.max_workers = 2, .initializer = [] { status = "initialized"; }}};
  const auto ask = [&] {
    pass(here.handle(), 0);
    return status;
  };
  const std::vector both{pool.submit(ask), pool.submit(ask)};
  here.await_arrivals(2);  // hence on two workers
  here.open();

  EXPECT_EQ(both[0].get(), "initialized");
  EXPECT_EQ(both[1].get(), "initialized");
}

TEST(init, a_throwing_initializer_fails_the_queued_calls) {
  const unhandled_log log;
  const gate here;
  thread_pool_executor pool{{.max_workers = 2, .initializer = [&] { wait_then_throw(here); }}};
  const std::vector queued{pool.submit([] { return 1; }), pool.submit([] { return 2; })};

  here.open();

  EXPECT_THROW(queued[0].get(), broken_executor);
  EXPECT_THROW(queued[1].get(), broken_executor);
}

TEST(init, a_throwing_initializer_makes_later_calls_be_refused) {
  const unhandled_log log;
  thread_pool_executor pool{{.max_workers = 2, .initializer = [] { throw disk_full{}; }}};
  EXPECT_THROW(pool.submit([] { return 1; }).get(), broken_executor);

  EXPECT_THROW(static_cast<void>(pool.submit([] { return 2; })), broken_executor);
}

TEST(init, the_message_of_a_broken_pool_says_what_the_initializer_threw) {
  const unhandled_log log;
  thread_pool_executor pool{{.max_workers = 1, .initializer = [] { throw disk_full{}; }}};
  std::string message;

  try {
    pool.submit([] {}).get();
  } catch (const broken_executor& e) {
    message = e.what();
  }

  EXPECT_NE(message.find("initializer"), std::string::npos) << message;
  EXPECT_NE(message.find("no space left"), std::string::npos) << message;
}

TEST(init, what_an_initializer_throws_is_reported) {
  const unhandled_log log;
  {
    thread_pool_executor pool{
        {.max_workers = 1, .thread_name_prefix = "crew", .initializer = [] { throw disk_full{}; }}};
    EXPECT_THROW(pool.submit([] {}).get(), broken_executor);
  }

  EXPECT_EQ(log.entries(), std::vector<std::string>{"initializer crew: no space left"});
}

// CPython leaked semaphores here (gh-104090). Threads and descriptors left behind fail any test of
// ours: see support/leak_check.hpp.
TEST(init, a_throwing_initializer_leaves_nothing_behind) {
  const unhandled_log log;
  for (int i = 0; i < 10; ++i) {
    thread_pool_executor pool{{.max_workers = 4, .initializer = [] { throw disk_full{}; }}};
    EXPECT_THROW(pool.submit([] {}).get(), broken_executor);
  }
}

TEST(init, the_finalizer_runs_on_each_worker_after_its_calls) {
  const gate here;
  std::atomic<int> finalized{0};
  {
    thread_pool_executor pool{{.max_workers = 2, .finalizer = [&] { ++finalized; }}};
    const std::vector both{pool.submit(&pass, here.handle(), 0),
                           pool.submit(&pass, here.handle(), 0)};
    here.await_arrivals(2);
    EXPECT_EQ(finalized, 0);
    here.open();
  }

  EXPECT_EQ(finalized, 2);
}

TEST(init, what_a_finalizer_throws_is_reported) {
  const unhandled_log log;
  {
    thread_pool_executor pool{
        {.max_workers = 1, .thread_name_prefix = "crew", .finalizer = [] { throw disk_full{}; }}};
    pool.submit([] {}).get();
  }

  EXPECT_EQ(log.entries(), std::vector<std::string>{"finalizer crew: no space left"});
}

}  // namespace cadre::test
