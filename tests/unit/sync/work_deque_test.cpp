// SPDX-License-Identifier: MIT
#include "sync/work_deque.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace cadre::sync {
namespace {

TEST(work_deque, the_owner_pops_the_newest_and_takes_the_oldest) {
  int items[3] = {};
  work_deque<int> deque;
  for (int& i : items) deque.push(&i);

  EXPECT_EQ(deque.pop(), &items[2]);
  EXPECT_EQ(deque.take(), &items[0]);
  EXPECT_EQ(deque.pop(), &items[1]);
  EXPECT_EQ(deque.pop(), nullptr);
  EXPECT_EQ(deque.take(), nullptr);
  EXPECT_TRUE(deque.empty());
}

TEST(work_deque, growing_keeps_all_items_in_order) {
  constexpr std::size_t count = 1000;
  std::vector<int> items(count);
  work_deque<int> deque{2};
  for (int& i : items) deque.push(&i);

  for (int& i : items) ASSERT_EQ(deque.take(), &i);
  EXPECT_TRUE(deque.empty());
}

TEST(work_deque, each_item_is_taken_by_exactly_one_thread) {
  constexpr std::size_t count = 20'000;
  std::vector<std::atomic<int>> items(count);
  work_deque<std::atomic<int>> deque{2};
  std::atomic<bool> all_pushed{false};
  std::vector<std::thread> thieves;
  for (int t = 0; t < 2; ++t) {
    thieves.emplace_back([&] {
      for (;;) {
        const bool last_look = all_pushed;
        if (auto* item = deque.take()) {
          ++*item;
        } else if (last_look) {
          return;
        }
      }
    });
  }

  for (std::size_t i = 0; i < count; ++i) {
    deque.push(&items[i]);
    if (i % 3 == 0) {
      if (auto* item = deque.pop()) ++*item;
    }
  }
  all_pushed = true;
  for (auto& t : thieves) t.join();

  for (const auto& item : items) ASSERT_EQ(item, 1);
}

}  // namespace
}  // namespace cadre::sync
