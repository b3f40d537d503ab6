// SPDX-License-Identifier: MIT
// Threads that cadre starts on demand have the processors, the precedence and the blocked signals of
// the thread that made the pool, not of whoever submits first.
#include <cadre/inline_executor.hpp>
#include <cadre/thread_pool_executor.hpp>
#include <cadre/timer.hpp>

#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

int processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  ::sched_getaffinity(0, sizeof set, &set);
  return CPU_COUNT(&set);
}

bool blocks(int signal) {
  sigset_t blocked;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  return ::sigismember(&blocked, signal) == 1;
}

/// Submits the first call of a new pool from a thread that `prepare` has changed.
template <typename Prepare, typename Call>
auto said_to_a_strange_submitter(Prepare prepare, Call call) {
  thread_pool_executor pool{1};
  decltype(call()) said{};
  std::thread{[&] {
    prepare();
    said = pool.submit(call).get_for(long_time);
  }}.join();
  return said;
}

}  // namespace

TEST(thread_surroundings, processors_are_those_of_the_pools_maker) {
  if (processors() < 2) GTEST_SKIP() << "there is one processor";
  const auto bind = [] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<unsigned>(::sched_getcpu()), &one);
    ::sched_setaffinity(0, sizeof one, &one);
  };

  EXPECT_EQ(said_to_a_strange_submitter(bind, &processors), processors());
}

TEST(thread_surroundings, scheduling_policy_is_that_of_the_pools_maker) {
  const auto lower = [] {
    const sched_param parameters{};
    ::sched_setscheduler(0, SCHED_BATCH, &parameters);
  };

  EXPECT_EQ(said_to_a_strange_submitter(lower, [] { return ::sched_getscheduler(0); }),
            ::sched_getscheduler(0));
}

TEST(thread_surroundings, niceness_is_that_of_the_pools_maker) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can make a thread less nice";
  const auto be_nice = [] { ::setpriority(PRIO_PROCESS, 0, 15); };

  EXPECT_EQ(said_to_a_strange_submitter(be_nice, [] { return ::getpriority(PRIO_PROCESS, 0); }),
            ::getpriority(PRIO_PROCESS, 0));
}

TEST(thread_surroundings, blocked_signals_are_those_of_the_pools_maker) {
  const auto block = [] {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
  };

  EXPECT_EQ(said_to_a_strange_submitter(block, [] { return blocks(SIGTERM); }), blocks(SIGTERM));
}

TEST(thread_surroundings, timers_take_no_signals_of_the_user) {
  inline_executor here;  // its calls run on the timers' thread, unless it is too late for that

  const auto blocked = submit_after(here, small_time, [] { return blocks(SIGTERM); });

  EXPECT_TRUE(blocked.get_for(long_time));
}

}  // namespace cadre::test
