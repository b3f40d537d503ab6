// SPDX-License-Identifier: MIT
#include "executor/dispatcher.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "unit/executor/queued_call.hpp"

namespace cadre::detail {
namespace {

constexpr auto accepted_start_worker = dispatcher::outcome::accepted_start_worker;

TEST(priority_queue, gives_the_highest_priority_first_and_keeps_the_order_of_equals) {
  sync::atomic<std::size_t> size{0};
  priority_queue queue{size};
  queued_call calls[4];
  queue.push(calls[0], 1);
  queue.push(calls[1], 5);
  queue.push(calls[2], 1);
  queue.push(calls[3], 5);

  EXPECT_EQ(size, 4U);
  EXPECT_EQ(queue.pop(), &calls[1]);
  EXPECT_EQ(queue.pop(), &calls[3]);
  EXPECT_EQ(queue.pop(), &calls[0]);
  EXPECT_EQ(queue.pop(), &calls[2]);
  EXPECT_EQ(queue.pop(), nullptr);
  EXPECT_EQ(size, 0U);
}

TEST(dispatcher, hands_out_calls_in_the_order_of_their_submission) {
  dispatcher d{2, 0};
  queued_call calls[10];
  for (queued_call& c : calls) EXPECT_EQ(d.push(c, 0), accepted_start_worker);
  call_deque own;

  std::vector<state_base*> taken;
  for (;;) {
    if (state_base* call = own.take()) {
      taken.push_back(call);
    } else if (state_base* first = d.take_batch(own, false).first) {
      taken.push_back(first);
    } else {
      break;
    }
  }

  ASSERT_EQ(taken.size(), 10U);
  for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(taken[i], &calls[i]) << i;
}

TEST(dispatcher, refuses_calls_once_it_is_closed_and_keeps_those_before) {
  dispatcher d{2, 0};
  queued_call before;
  queued_call after;
  d.push(before, 0);

  d.close();

  EXPECT_EQ(d.push(after, 0), dispatcher::outcome::closed);
  EXPECT_EQ(d.push(after, 3), dispatcher::outcome::closed);
  EXPECT_EQ(d.take_all(), &before);
}

TEST(dispatcher, a_refused_chain_is_still_the_callers_in_its_old_order) {
  dispatcher d{2, 0};
  queued_call calls[3];
  calls[0].queue_next = &calls[1];
  calls[1].queue_next = &calls[2];
  d.close();

  EXPECT_EQ(d.push_all(calls[0], 3), dispatcher::outcome::closed);

  EXPECT_EQ(calls[0].queue_next, &calls[1]);
  EXPECT_EQ(calls[1].queue_next, &calls[2]);
}

TEST(dispatcher, admits_as_many_workers_as_it_may_and_one_for_each_that_is_blocked) {
  dispatcher d{1, 1};

  EXPECT_TRUE(d.admit());
  EXPECT_FALSE(d.admit());
  d.change(census::one_blocked);
  EXPECT_TRUE(d.admit());
  EXPECT_FALSE(d.admit()) << "no more replacements";
}

}  // namespace
}  // namespace cadre::detail
