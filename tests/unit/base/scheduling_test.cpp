// SPDX-License-Identifier: MIT
#include "base/scheduling.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>

#include <thread>

namespace cadre {
namespace {

TEST(scheduling, precedes_a_thread_that_has_less_precedence_by_now) {
  std::thread{[] {
    const scheduling makers = scheduling::of_this_thread();
    EXPECT_FALSE(makers.precedes_this_thread());

    ASSERT_EQ(::setpriority(PRIO_PROCESS, 0, makers.nice + 1), 0);

    EXPECT_TRUE(makers.precedes_this_thread());
    EXPECT_FALSE(scheduling::of_this_thread().precedes_this_thread());
  }}.join();
}

TEST(scheduling, precedes_a_thread_that_runs_when_nobody_else_does) {
  std::thread{[] {
    const scheduling makers = scheduling::of_this_thread();
    const sched_param none{};

    ASSERT_EQ(::sched_setscheduler(0, SCHED_IDLE, &none), 0);

    EXPECT_TRUE(makers.precedes_this_thread());
    EXPECT_FALSE(scheduling::of_this_thread().precedes_this_thread());
  }}.join();
}

}  // namespace
}  // namespace cadre
