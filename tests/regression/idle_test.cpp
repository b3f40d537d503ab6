// SPDX-License-Identifier: MIT
// Workers with nothing to do cost nothing, and miss nothing.
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "support/cpu_time.hpp"
#include "support/gate.hpp"
#include "support/other_thread.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using std::chrono_literals::operator""s;

constexpr double nearly_nothing = 0.005;

}  // namespace

// libcoro #262, cppcoro: idle workers that spin.
TEST(idle, a_pool_that_has_worked_uses_no_processor) {
  thread_pool_executor pool{4};
  for (int i = 0; i < 10'000; ++i) pool.post([] {});
  pool.submit([] {}).get();
  static_cast<void>(cpu_share_over(small_time));  // let them fall asleep

  EXPECT_LT(cpu_share_over(1s), nearly_nothing);
}

// taskflow #244, #255, #339, #420, #681: one worker burns a processor while any task sleeps.
TEST(idle, a_pool_with_one_sleeping_call_uses_no_processor) {
  const gate here;
  thread_pool_executor pool{4};
  for (int i = 0; i < 1000; ++i) pool.post([] {});
  const auto sleeping = pool.submit(&pass, here.handle(), 0);
  here.await_arrivals(1);
  static_cast<void>(cpu_share_over(small_time));

  EXPECT_LT(cpu_share_over(1s), nearly_nothing);

  here.open();
}

TEST(idle, a_thread_that_waits_for_a_long_call_uses_no_processor) {
  const gate here;
  thread_pool_executor pool{2};
  const auto slow = pool.submit(&pass, here.handle(), 0);
  other_thread waiter{[&] { slow.wait(); }};
  waiter.await_asleep();

  EXPECT_LT(cpu_share_over(1s), nearly_nothing);

  here.open();
}

TEST(idle, a_blocked_submitter_uses_no_processor) {
  const gate here;
  thread_pool_executor pool{{.max_workers = 1, .max_pending = 1}};
  pool.post([&] { pass(here.handle(), 0); });
  here.await_arrivals(1);
  pool.post([] {});
  other_thread submitter{[&] { pool.post([] {}); }};
  submitter.await_asleep();

  EXPECT_LT(cpu_share_over(1s), nearly_nothing);

  here.open();
}

// cppcoro #114, libcoro #270, dispenso 1.6: a wake-up that is lost strands a call for ever. The
// submitter does not wait for the future: that could run the call, or wake somebody.
TEST(idle, no_call_is_stranded_however_asleep_the_workers_are) {
  thread_pool_executor pool{{.max_workers = 2, .spin = std::chrono::nanoseconds{0}}};
  std::atomic<int> ran{0};
  for (int i = 1; i <= 5000; ++i) {
    pool.post([&] {
      ++ran;
      ran.notify_one();
    });
    for (int seen = ran; seen < i; seen = ran) ran.wait(seen);
  }
}

TEST(idle, no_call_is_stranded_when_workers_fall_asleep_meanwhile) {
  thread_pool_executor pool{{.max_workers = 2, .spin = std::chrono::microseconds{1}}};
  std::atomic<int> ran{0};
  for (int i = 1; i <= 5000; ++i) {
    for (int pause = 0; pause < i % 64; ++pause) std::this_thread::yield();
    pool.post([&] {
      ++ran;
      ran.notify_one();
    });
    for (int seen = ran; seen < i; seen = ran) ran.wait(seen);
  }
}

TEST(idle, no_call_of_two_submitters_is_stranded) {
  thread_pool_executor pool{2};
  std::vector<std::jthread> submitters;
  for (int t = 0; t < 2; ++t) {
    submitters.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        std::atomic<bool> ran{false};
        pool.post([&] {
          ran.store(true);
          ran.notify_one();
        });
        ran.wait(false);
      }
    });
  }
}

TEST(idle, no_call_that_a_worker_leaves_to_others_is_stranded) {
  thread_pool_executor pool{2};
  for (int i = 0; i < 1000; ++i) {
    const auto outer = pool.submit([&] {
      std::atomic<bool> ran{false};
      pool.post([&] {
        ran.store(true);
        ran.notify_one();
      });
      ran.wait(false);  // without telling the pool
    });
    outer.get();
  }
}

TEST(idle, a_worker_retires_after_the_idle_timeout) {
  thread_pool_executor pool{{.max_workers = 2, .idle_timeout = short_time}};
  pool.submit([] {}).get();

  while (pool.stats().workers > 0) std::this_thread::yield();

  EXPECT_EQ(pool.submit([] { return 42; }).get(), 42);
}

TEST(idle, no_call_is_stranded_while_workers_retire) {
  thread_pool_executor pool{{.max_workers = 2, .idle_timeout = std::chrono::microseconds{50}}};
  std::atomic<int> ran{0};
  for (int i = 1; i <= 1000; ++i) {
    for (int pause = 0; pause < i % 64; ++pause) std::this_thread::yield();
    pool.post([&] {
      ++ran;
      ran.notify_one();
    });
    for (int seen = ran; seen < i; seen = ran) ran.wait(seen);
  }
}

}  // namespace cadre::test
