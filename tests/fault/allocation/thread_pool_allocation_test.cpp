// SPDX-License-Identifier: MIT
// The n-th allocation of a thread pool's life fails, for each n: an exception says so, or nothing is
// noticed. No call is lost, nothing hangs or is left behind, and the program goes on.
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>

#include "fault/allocation/failing_story.hpp"

namespace cadre::test {
namespace {

const child_program one_fails{"thread_pool_allocation_one",
                              [] { return go_through_allocations<thread_pool_executor>(1); }};
const child_program ten_fail{"thread_pool_allocation_ten",
                             [] { return go_through_allocations<thread_pool_executor>(10); }};

bool never(const ended&) { return false; }

}  // namespace

TEST(thread_pool_allocation, any_that_fails_is_told_and_costs_nothing_else) {
  EXPECT_EQ(go_through_steps(one_fails, &never), 0U);
}

TEST(thread_pool_allocation, any_ten_in_a_row_that_fail_are_told_and_cost_nothing_else) {
  EXPECT_EQ(go_through_steps(ten_fail, &never), 0U);
}

}  // namespace cadre::test
