// SPDX-License-Identifier: MIT
// A thread that waits for a call of a process pool reads its answer itself, and what must not suffer from that.
#include <cadre/process_pool_executor.hpp>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <utility>

#include "fault/process_pool_calls.hpp"
#include "support/cpu_time.hpp"
#include "support/gate.hpp"
#include "support/timeouts.hpp"
#include "support/work_for.hpp"

namespace cadre::test {
namespace {

using namespace std::chrono_literals;

/// Notes where it was decoded.
struct noted {
  int value = 0;

  template <typename Archive>
  void save(Archive& out) const {
    out(value);
  }
  template <typename Archive>
  void load(Archive& in) {
    in(value);
    decoded_on = ::gettid();
  }

  static inline std::atomic<pid_t> decoded_on{0};
};
noted make_noted() { return {42}; }

}  // namespace

// On a busy machine, others would wait for its turn.
TEST(process_pool_waiter, a_waiter_of_less_precedence_than_its_pool_reads_no_answers) {
  process_pool_executor pool{workers(1)};
  pool.submit(&add_one, 1).get_for(medium_time);

  std::thread{[&] {
    ASSERT_EQ(::setpriority(PRIO_PROCESS, 0, ::getpriority(PRIO_PROCESS, 0) + 1), 0);
    EXPECT_EQ(pool.submit(&make_noted).get_for(medium_time).value, 42);
    EXPECT_NE(noted::decoded_on, ::gettid());
  }}.join();
}

TEST(process_pool_waiter, an_idle_timeout_of_nothing_costs_no_processor_while_a_call_runs) {
  auto options = workers(1);
  options.idle_timeout = 0ms;
  const gate here;
  process_pool_executor pool{std::move(options)};
  const auto f = pool.submit(&pass, here.handle(), 1);
  here.await_arrivals(1);

  const auto before = process_cpu_time();
  EXPECT_FALSE(f.wait_for(short_time * 4));
  EXPECT_LT(process_cpu_time() - before, short_time);

  here.open();
  EXPECT_EQ(f.get_for(medium_time), 1);
}

// Then no other thread was awake to see it.
TEST(process_pool_waiter, idle_workers_end_though_a_waiter_that_slept_read_their_last_answer) {
  auto options = workers(1);
  options.idle_timeout = 5ms;
  process_pool_executor pool{std::move(options)};
  pool.submit(&add_one, 1).get_for(medium_time);

  for (int call = 0; call < 5; ++call)
    pool.submit(&work_for, std::chrono::nanoseconds{short_time}).get_for(medium_time);

  while (!pool.worker_pids().empty()) std::this_thread::yield();
}

}  // namespace cadre::test
