// SPDX-License-Identifier: MIT
// The kinds of queues that the suites run for, and what those share.
#pragma once

#include <cadre/lifo_queue.hpp>
#include <cadre/priority_queue.hpp>
#include <cadre/queue.hpp>

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <string>

#include "support/other_thread.hpp"

namespace cadre::test {

struct fifo {
  static constexpr const char* name = "fifo";
  static constexpr std::array order{1, 3, 2};  // of 1, 3, 2 as they come out
  template <typename T>
  using of = cadre::queue<T>;
};
struct lifo {
  static constexpr const char* name = "lifo";
  static constexpr std::array order{2, 3, 1};
  template <typename T>
  using of = cadre::lifo_queue<T>;
};
struct priority {
  static constexpr const char* name = "priority";
  static constexpr std::array order{1, 2, 3};
  template <typename T>
  using of = cadre::priority_queue<T>;
};

struct kind_names {
  template <typename Kind>
  static std::string GetName(int) {
    return Kind::name;
  }
};

using queue_kinds = testing::Types<fifo, lifo, priority>;

template <typename Kind>
class queue_test : public testing::Test {
 public:
  using type = typename Kind::template of<int>;
};

template <typename Queue>
void fill(Queue& q, int count) {
  for (int i = 0; i < count; ++i) q.put(i);
}

/// Runs `blocks()` on another thread, and `ends_it()` once that sleeps.
template <typename Blocks, typename Ends>
void expect_blocks_until(Blocks blocks, Ends ends_it) {
  std::atomic<bool> ended{false};
  other_thread waiter{[&] {
    blocks();
    ended = true;
  }};
  EXPECT_TRUE(waiter.await_asleep());
  EXPECT_FALSE(ended);
  ends_it();
  waiter.join();
}

/// Gets, accounts, and adds up until the queue is shut down.
template <typename Queue>
auto summing(Queue& q, std::atomic<int>& sum) {
  return [&q, &sum] {
    for (const int n : q) {
      sum += n;
      q.task_done();
    }
  };
}

}  // namespace cadre::test
