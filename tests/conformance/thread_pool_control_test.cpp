// SPDX-License-Identifier: MIT
// What the owner of a thread pool does to it while it works. Source: BS::thread_pool's tests of pause,
// wait and reset.
#include <cadre/errors.hpp>
#include <cadre/manual_executor.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "conformance/executors.hpp"
#include "support/gate.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using namespace std::chrono_literals;

/// Submits `count` calls that run at the same time or never, and waits for them.
void meet(thread_pool_executor& pool, unsigned count) {
  const gate here;
  std::vector<future<void>> all;
  for (unsigned i = 0; i < count; ++i) {
    all.push_back(pool.submit([&] { pass(here.handle(), 0); }));
  }
  here.await_arrivals(count);
  here.open();
  for (const auto& f : all) f.get();
}

/// A pool whose only worker is at `here`, and whose queue is full: submitters run what comes next.
class full_pool {
 public:
  full_pool() {
    running_ = pool.submit(&pass, here.handle(), 0);
    here.await_arrivals(1);
    pending = pool.submit(&multiply, 6, 7);
  }

  const gate here;
  thread_pool_executor pool{
      {.max_workers = 1, .max_pending = 1, .when_full = when_full::caller_runs}};
  future<int> pending;

 private:
  future<int> running_;
};

}  // namespace

TEST(thread_pool_pause, no_worker_begins_a_queued_call_until_it_is_resumed) {
  thread_pool_executor pool{2};
  std::atomic<int> ran{0};
  pool.pause();
  for (int i = 0; i < 10; ++i) pool.post([&] { ++ran; });
  const auto urgent = pool.submit({.priority = 3}, [&] { ++ran; });
  const auto patient = pool.submit({.priority = -3}, [&] { ++ran; });

  pool.wait_idle();

  EXPECT_TRUE(pool.is_paused());
  EXPECT_EQ(ran, 0);
  EXPECT_EQ(pool.stats().pending, 12U);
  pool.resume();
  pool.wait_idle();
  EXPECT_EQ(ran, 12);
}

TEST(thread_pool_pause, what_runs_goes_on_and_what_it_waits_for_is_run) {
  thread_pool_executor pool{2};
  const gate here;
  auto outer = pool.submit([&] {
    pass(here.handle(), 0);
    return pool.submit([] { return 20; }).get() + 1;
  });
  here.await_arrivals(1);
  pool.pause();
  here.open();

  EXPECT_EQ(outer.get(), 21);
}

TEST(thread_pool_pause, the_end_of_a_paused_pool_runs_what_is_queued) {
  std::atomic<int> ran{0};
  {
    thread_pool_executor pool{2};
    pool.pause();
    for (int i = 0; i < 10; ++i) pool.post([&] { ++ran; });
  }
  EXPECT_EQ(ran, 10);
}

TEST(thread_pool_pause, a_shutdown_that_cancels_runs_none_of_the_queued_calls) {
  std::atomic<int> ran{0};
  for (int round = 0; round < 100; ++round) {
    thread_pool_executor pool{2};
    pool.pause();
    std::vector<future<void>> all;
    for (int i = 0; i < 10; ++i) all.push_back(pool.submit([&] { ++ran; }));

    pool.shutdown({.cancel_pending = true});

    for (const auto& f : all) EXPECT_TRUE(f.cancelled());
  }
  EXPECT_EQ(ran, 0);
}

TEST(thread_pool_pause, does_nothing_once_the_end_has_begun) {
  std::atomic<int> ran{0};
  {
    thread_pool_executor pool{1};
    const gate here;
    pool.post([&] { pass(here.handle(), 0); });
    pool.post([&] { ++ran; });
    here.await_arrivals(1);
    pool.shutdown({.wait = false});

    pool.pause();

    EXPECT_FALSE(pool.is_paused());
    here.open();
    pool.wait_idle();
  }
  EXPECT_EQ(ran, 1);
}

TEST(thread_pool_pause, by_a_call_holds_up_no_end) {
  std::atomic<int> ran{0};
  for (int round = 0; round < 200; ++round) {
    thread_pool_executor pool{1};
    pool.post([&] { pool.pause(); });
    pool.post([&] { ++ran; });
  }
  EXPECT_EQ(ran, 200);
}

TEST(thread_pool_pause, workers_that_may_not_work_end_when_they_were_idle_for_long) {
  std::atomic<int> ran{0};
  thread_pool_executor pool{{.max_workers = 2, .idle_timeout = 0s}};
  pool.pause();
  for (int i = 0; i < 10; ++i) pool.post([&] { ++ran; });

  while (pool.stats().workers != 0) std::this_thread::yield();

  pool.resume();
  pool.wait_idle();
  EXPECT_EQ(ran, 10);
}

TEST(thread_pool_wait_idle, returns_when_all_calls_and_those_that_they_submit_are_done) {
  thread_pool_executor pool{2};
  for (int round = 0; round < 300; ++round) {
    std::atomic<int> ran{0};
    std::vector<future<void>> all;
    for (int i = 0; i < 5; ++i) {
      all.push_back(pool.submit([&] {
        pool.post([&] { ++ran; });
        ++ran;
      }));
    }

    pool.wait_idle();

    for (const auto& f : all) EXPECT_TRUE(f.done());
    ASSERT_EQ(ran, 10);
  }
}

TEST(thread_pool_wait_idle, gives_up_when_the_time_is_over) {
  thread_pool_executor pool{1};
  const gate here;
  auto blocked = pool.submit(&pass, here.handle(), 0);
  here.await_arrivals(1);

  EXPECT_FALSE(pool.wait_idle_for(0s));
  EXPECT_FALSE(pool.wait_idle_for(1ms));
  EXPECT_FALSE(pool.wait_idle_until(std::chrono::system_clock::now()));

  here.open();
  EXPECT_TRUE(pool.wait_idle_for(long_time));
}

TEST(thread_pool_wait_idle, of_a_pool_that_never_had_a_call_or_has_ended_returns_at_once) {
  thread_pool_executor pool{2};
  pool.wait_idle();
  pool.submit(&multiply, 6, 7).get();
  pool.shutdown();
  pool.wait_idle();
}

TEST(thread_pool_wait_idle, waits_for_a_call_that_its_submitter_runs) {
  const gate there;
  full_pool full;
  std::thread submitter{[&] { full.pool.submit(&pass, there.handle(), 0).get(); }};
  there.await_arrivals(1);
  full.here.open();
  full.pending.get();

  EXPECT_FALSE(full.pool.wait_idle_for(1ms));

  there.open();
  full.pool.wait_idle();
  submitter.join();
}

TEST(thread_pool_wait_idle, of_its_own_pool_is_a_deadlock_and_of_another_is_not) {
  thread_pool_executor pool{1};
  thread_pool_executor other{1};

  EXPECT_THROW(pool.submit([&] { pool.wait_idle(); }).get(), deadlock_error);
  pool.submit([&] { other.wait_idle(); }).get();
}

TEST(thread_pool_wait_idle, in_a_call_that_its_submitter_runs_is_a_deadlock) {
  full_pool full;

  auto by_caller = full.pool.submit([&] { full.pool.wait_idle(); });

  EXPECT_THROW(by_caller.get(), deadlock_error);
  full.here.open();
}

TEST(thread_pool_wait_idle, within_another_executor_that_a_call_runs_is_a_deadlock) {
  thread_pool_executor pool{1};
  manual_executor within;
  auto waits = within.submit([&] { pool.wait_idle(); });

  pool.submit([&] { within.run_all(); }).get();

  EXPECT_THROW(waits.get(), deadlock_error);
}

TEST(thread_pool_resize, more_workers_run_calls_that_wait_already) {
  const gate here;
  thread_pool_executor pool{1};
  std::vector<future<void>> all;
  for (int i = 0; i < 4; ++i) {
    all.push_back(pool.submit([&] { pass(here.handle(), 0); }));
  }
  here.await_arrivals(1);

  pool.resize(4);

  EXPECT_EQ(pool.max_workers(), 4U);
  here.await_arrivals(4);
  here.open();
}

TEST(thread_pool_resize, there_may_be_far_more_than_at_first) {
  thread_pool_executor pool{1};
  pool.resize(200);
  meet(pool, 200);
  pool.resize(1);
  pool.resize(150);
  meet(pool, 150);
}

TEST(thread_pool_resize, idle_workers_that_are_too_many_end) {
  thread_pool_executor pool{8};
  meet(pool, 8);
  pool.wait_idle();

  pool.resize(3);

  while (pool.stats().workers != 3) std::this_thread::yield();
  meet(pool, 3);
  EXPECT_EQ(pool.stats().workers, 3U);
}

TEST(thread_pool_resize, busy_workers_that_are_too_many_end_behind_their_call) {
  thread_pool_executor pool{4};
  std::atomic<bool> over{false};
  std::atomic<int> ran{0};
  // Each submits its successor: there is always work, for all four.
  struct again {
    thread_pool_executor& pool;
    std::atomic<bool>& over;
    std::atomic<int>& ran;
    void operator()() const {
      ++ran;
      if (!over) pool.post(again{*this});
    }
  };
  for (int i = 0; i < 16; ++i) pool.post(again{pool, over, ran});

  pool.resize(1);

  while (pool.stats().workers != 1) std::this_thread::yield();
  const int before = ran;
  while (ran <= before + 100) std::this_thread::yield();
  over = true;
  pool.wait_idle();
}

TEST(thread_pool_resize, refuses_numbers_that_make_no_sense) {
  thread_pool_executor pool{2};

  EXPECT_THROW(pool.resize(0), std::invalid_argument);
  EXPECT_THROW(pool.resize(-1), std::invalid_argument);
  EXPECT_THROW(pool.resize(2001), std::invalid_argument);
  EXPECT_EQ(pool.max_workers(), 2U);
}

TEST(thread_pool_control, loses_no_call_whatever_several_threads_do_at_once) {
  thread_pool_executor pool{2};
  std::atomic<int> ran{0};
  constexpr int calls = 3000;
  std::thread owner{[&] {
    for (int i = 0; i < 300; ++i) {
      pool.resize(1 + i % 5);
      pool.pause();
      pool.wait_idle_for(std::chrono::microseconds{i});
      pool.resume();
    }
  }};
  std::thread watcher{[&] {
    for (int i = 0; i < 300; ++i) pool.wait_idle_for(std::chrono::microseconds{50});
  }};
  std::vector<future<int>> all;
  for (int i = 0; i < calls; ++i) {
    all.push_back(pool.submit([&] { return ++ran; }));
    if (i % 7 == 0) all.back().get();
  }
  owner.join();
  watcher.join();
  pool.wait_idle();

  EXPECT_EQ(ran, calls);
  for (const auto& f : all) EXPECT_TRUE(f.done());
}

}  // namespace cadre::test
