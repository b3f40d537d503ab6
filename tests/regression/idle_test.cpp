// SPDX-License-Identifier: MIT
// Workers with nothing to do cost nothing, and miss nothing.
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
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

/// Counts calls that ran, without a future and unseen by the pool.
class tally {
 public:
  void add() {
    const std::lock_guard lock{mutex_};
    ++count_;
    changed_.notify_all();
  }
  void await(int count) {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [&] { return count_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

/// Without a yield, which beside busy processes costs a slice of time.
void pass_time(std::chrono::nanoseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
  }
}

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
  tally ran;
  for (int i = 1; i <= 5000; ++i) {
    pool.post([&] { ran.add(); });
    ran.await(i);
  }
}

TEST(idle, no_call_is_stranded_when_workers_fall_asleep_meanwhile) {
  thread_pool_executor pool{{.max_workers = 2, .spin = std::chrono::microseconds{1}}};
  tally ran;
  for (int i = 1; i <= 5000; ++i) {
    pass_time(i % 64 * std::chrono::nanoseconds{300});
    pool.post([&] { ran.add(); });
    ran.await(i);
  }
}

TEST(idle, no_call_of_two_submitters_is_stranded) {
  thread_pool_executor pool{2};
  std::vector<std::jthread> submitters;
  for (int t = 0; t < 2; ++t) {
    submitters.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        tally ran;
        pool.post([&] { ran.add(); });
        ran.await(1);
      }
    });
  }
}

TEST(idle, no_call_that_a_worker_leaves_to_others_is_stranded) {
  thread_pool_executor pool{2};
  for (int i = 0; i < 1000; ++i) {
    const auto outer = pool.submit([&] {
      tally ran;
      pool.post([&] { ran.add(); });
      ran.await(1);  // without telling the pool
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
  tally ran;
  for (int i = 1; i <= 1000; ++i) {
    pass_time(i % 64 * std::chrono::nanoseconds{300});
    pool.post([&] { ran.add(); });
    ran.await(i);
  }
}

}  // namespace cadre::test
