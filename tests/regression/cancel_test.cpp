// SPDX-License-Identifier: MIT
// Cancelling what is queued: it completes its future, at once, and tells everybody.
#include <cadre/errors.hpp>
#include <cadre/thread_pool_executor.hpp>
#include <cadre/wait.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/gate.hpp"
#include "support/other_thread.hpp"
#include "support/unhandled_log.hpp"

namespace cadre::test {

// TileDB PR 1191: tasks that were dropped left their waiters hanging.
TEST(cancel, wakes_a_blocked_get) {
  const gate here;
  thread_pool_executor pool{1};
  const auto running = pool.submit(&pass, here.handle(), 0);
  const auto queued = pool.submit([] { return 42; });
  bool cancelled = false;
  other_thread waiter{[&] {
    try {
      queued.get();
    } catch (const cancelled_error&) {
      cancelled = true;
    }
  }};

  waiter.await_asleep();
  queued.cancel();
  waiter.join();

  EXPECT_TRUE(cancelled);
  here.open();
}

TEST(cancel, of_posted_calls_by_shutdown_is_no_error_that_nobody_handled) {
  const gate here;
  const unhandled_log log;
  bool ran = false;
  {
    thread_pool_executor pool{1};
    pool.post([&] { pass(here.handle(), 0); });
    here.await_arrivals(1);
    pool.post([&] { ran = true; });

    pool.shutdown({.wait = false, .cancel_pending = true});
    here.open();
  }

  EXPECT_FALSE(ran);
  EXPECT_EQ(log.entries(), std::vector<std::string>{});
}

TEST(cancel, runs_the_done_callbacks) {
  const gate here;
  thread_pool_executor pool{1};
  const auto running = pool.submit(&pass, here.handle(), 0);
  const auto queued = pool.submit([] { return 42; });
  int called = 0;
  queued.add_done_callback([&](const future<int>& f) { called += f.cancelled() ? 1 : 0; });

  queued.cancel();

  EXPECT_EQ(called, 1);
  here.open();
}

// taskflow #645: nothing cancels all that is queued.
TEST(cancel, of_all_pending_calls_wakes_everybody_and_runs_all_callbacks) {
  const gate here;
  thread_pool_executor pool{1};
  const auto running = pool.submit(&pass, here.handle(), 0);
  here.await_arrivals(1);
  std::vector<future<int>> queued;
  std::atomic<int> called{0};
  for (int i = 0; i < 100; ++i) {
    queued.push_back(pool.submit([i] { return i; }));
    queued.back().add_done_callback([&](const future<int>&) { ++called; });
  }

  pool.shutdown({.wait = false, .cancel_pending = true});

  EXPECT_EQ(called, 100);
  for (const auto& f : queued) EXPECT_TRUE(f.cancelled());
  here.open();
}

// libunifex #456: a cancelled item stays alive until a worker meets it.
TEST(cancel, destroys_the_callable_at_once) {
  const gate here;
  thread_pool_executor pool{1};
  const auto running = pool.submit(&pass, here.handle(), 0);
  auto object = std::make_shared<int>(42);
  const std::weak_ptr<int> watch = object;
  const auto queued = pool.submit([object = std::move(object)] { return *object; });

  queued.cancel();

  EXPECT_TRUE(watch.expired());
  here.open();
}

TEST(cancel, of_one_call_leaves_the_others) {
  const gate here;
  thread_pool_executor pool{1};
  const auto running = pool.submit(&pass, here.handle(), 0);
  std::vector<future<int>> queued;
  for (int i = 0; i < 10; ++i) queued.push_back(pool.submit([i] { return i; }));

  for (std::size_t i = 0; i < 10; i += 2) queued[i].cancel();
  here.open();

  for (std::size_t i = 1; i < 10; i += 2) EXPECT_EQ(queued[i].get(), static_cast<int>(i));
}

// taskflow #568: the first two of four win, the rest is cancelled.
TEST(cancel, of_the_rest_after_the_first_results) {
  const gate here;
  thread_pool_executor pool{2};
  std::vector<future<int>> all;
  for (int i = 0; i < 6; ++i) all.push_back(pool.submit(&pass, here.handle(), i));
  here.await_arrivals(2);
  auto completed = cadre::as_completed(all);

  here.admit(2);
  completed.next();
  completed.next();
  for (const auto& f : all) f.cancel();
  here.open();

  std::size_t reported = 2;
  while (completed.next()) ++reported;
  EXPECT_EQ(reported, 6U);
}

// A call that a worker takes at this moment either runs, or it is cancelled: never both or neither.
TEST(cancel, that_races_with_a_worker_has_one_outcome) {
  thread_pool_executor pool{1};
  for (int i = 0; i < 2000; ++i) {
    std::atomic<int> ran{0};
    const auto f = pool.submit([&] { ++ran; });

    const bool cancelled = f.cancel();
    f.wait();

    ASSERT_EQ(cancelled, f.cancelled());
    ASSERT_EQ(ran, cancelled ? 0 : 1);
  }
}

TEST(cancel, from_many_threads_at_once_has_one_outcome) {
  const gate here;
  thread_pool_executor pool{1};
  for (int i = 0; i < 100; ++i) {
    std::atomic<int> called{0};
    const auto blocker = pool.submit(&pass, here.handle(), 0);
    const auto queued = pool.submit([] { return 42; });
    queued.add_done_callback([&](const future<int>&) { ++called; });
    {
      std::vector<std::jthread> cancellers;
      for (int t = 0; t < 3; ++t) {
        cancellers.emplace_back([&] { EXPECT_TRUE(queued.cancel()); });
      }
    }
    here.admit(1);
    blocker.wait();

    ASSERT_EQ(called, 1);
  }
}

TEST(cancel, is_passed_on_by_then) {
  const gate here;
  thread_pool_executor pool{1};
  const auto running = pool.submit(&pass, here.handle(), 0);
  const auto queued = pool.submit([] { return 42; });
  const auto next = queued.then([](int n) { return n + 1; });

  queued.cancel();

  EXPECT_TRUE(next.cancelled());
  here.open();
}

TEST(cancel, of_a_then_future_leaves_its_source) {
  const gate here;
  thread_pool_executor pool{1};
  const auto f = pool.submit(&pass, here.handle(), 42);
  const auto next = f.then([](int n) { return n + 1; });

  EXPECT_TRUE(next.cancel());
  here.open();

  EXPECT_EQ(f.get(), 42);
  EXPECT_TRUE(next.cancelled());
}

TEST(cancel, by_a_done_callback_of_another_call) {
  const gate here;
  thread_pool_executor pool{1};
  const auto first = pool.submit(&pass, here.handle(), 0);
  const auto second = pool.submit([] { return 42; });
  first.add_done_callback([&](const future<int>&) { second.cancel(); });

  here.open();
  second.wait();

  EXPECT_TRUE(second.cancelled());
}

TEST(cancel, makes_room_in_a_bounded_pool) {
  const gate here;
  thread_pool_executor pool{{.max_workers = 1, .max_pending = 1, .when_full = when_full::reject}};
  const auto running = pool.submit(&pass, here.handle(), 0);
  here.await_arrivals(1);
  const auto queued = pool.submit([] { return 1; });
  EXPECT_THROW(static_cast<void>(pool.submit([] { return 2; })), queue_full);

  queued.cancel();

  EXPECT_NO_THROW(static_cast<void>(pool.submit([] { return 3; })));
  here.open();
}

TEST(cancel, is_counted) {
  const gate here;
  thread_pool_executor pool{1};
  const auto running = pool.submit(&pass, here.handle(), 0);
  here.await_arrivals(1);
  const auto queued = pool.submit([] { return 42; });

  queued.cancel();
  here.open();
  pool.shutdown();

  EXPECT_EQ(pool.stats().cancelled, 1U);
  EXPECT_EQ(pool.stats().finished, 1U);
}

}  // namespace cadre::test
