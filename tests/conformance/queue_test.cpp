// SPDX-License-Identifier: MIT
// What queues promise, whichever element comes first. Source: CPython's test_queue.py.
#include <cadre/errors.hpp>

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/queue_kinds.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using std::chrono_literals::operator""s;
using std::chrono_literals::operator""ms;

template <typename Kind>
class queues : public queue_test<Kind> {};
TYPED_TEST_SUITE(queues, queue_kinds, kind_names);

constexpr std::size_t bound = 5;

template <std::size_t Size>
using bytes = std::array<char, Size>;
static_assert(detail::is_queued_in_place<bytes<64>> && !detail::is_queued_in_place<bytes<65>>);
static_assert(!detail::is_queued_in_place<std::string>);

}  // namespace

TYPED_TEST(queues, task_done_without_an_element_throws) {
  typename TestFixture::type q;

  EXPECT_THROW(q.task_done(), invalid_state_error);

  q.put(1);
  EXPECT_THROW(q.task_done(), invalid_state_error);
}

TYPED_TEST(queues, join_waits_until_all_elements_are_done_and_can_do_so_again) {
  typename TestFixture::type q;
  std::atomic<int> sum = 0;
  {
    const std::jthread first{summing(q, sum)};
    const std::jthread second{summing(q, sum)};
    for (const int expected : {4950, 9900}) {
      fill(q, 100);
      q.join();
      EXPECT_EQ(sum, expected);
    }
    q.shutdown();
  }

  EXPECT_THROW(q.task_done(), invalid_state_error);
}

TYPED_TEST(queues, elements_come_out_in_the_order_of_the_kind) {
  typename TestFixture::type q;
  for (int turn = 0; turn < 2; ++turn) {
    EXPECT_TRUE(q.empty());
    for (const int n : {1, 3, 2}) q.put(n);

    for (const int expected : TypeParam::order) EXPECT_EQ(q.get(), expected);
  }
}

TYPED_TEST(queues, a_full_one_takes_no_more) {
  typename TestFixture::type q{bound};
  fill(q, 4);
  EXPECT_FALSE(q.full());
  q.put(4);

  EXPECT_TRUE(q.full());
  EXPECT_EQ(q.size(), bound);
  EXPECT_FALSE(q.try_put(5));
  EXPECT_FALSE(q.put_for(5, 1ms));
  EXPECT_FALSE(q.put_until(5, std::chrono::system_clock::now()));
  EXPECT_EQ(q.size(), bound);
}

TYPED_TEST(queues, an_empty_one_gives_nothing) {
  typename TestFixture::type q{bound};

  EXPECT_EQ(q.try_get(), std::nullopt);
  EXPECT_EQ(q.get_for(1ms), std::nullopt);
  EXPECT_EQ(q.get_until(std::chrono::steady_clock::now()), std::nullopt);
}

TYPED_TEST(queues, put_blocks_while_it_is_full) {
  typename TestFixture::type q{bound};
  fill(q, 5);

  expect_blocks_until([&] { q.put(5); }, [&] { q.get(); });
  expect_blocks_until([&] { EXPECT_TRUE(q.put_for(6, long_time)); }, [&] { q.get(); });

  EXPECT_EQ(q.size(), bound);
}

TYPED_TEST(queues, get_blocks_while_it_is_empty) {
  typename TestFixture::type q{bound};

  expect_blocks_until([&] { EXPECT_EQ(q.get(), 7); }, [&] { q.put(7); });
  expect_blocks_until([&] { EXPECT_EQ(q.get_for(long_time), 8); }, [&] { q.put(8); });

  EXPECT_TRUE(q.empty());
}

TYPED_TEST(queues, a_negative_timeout_only_looks) {
  typename TestFixture::type q{1};

  EXPECT_EQ(q.get_for(-1s), std::nullopt);
  EXPECT_TRUE(q.put_for(1, -1s));
  EXPECT_FALSE(q.put_for(2, -1s));
  EXPECT_EQ(q.get_for(-1s), 1);
}

TYPED_TEST(queues, try_put_and_try_get_work_to_the_bound) {
  typename TestFixture::type q{bound};
  for (std::size_t i = 0; i < bound; ++i) EXPECT_TRUE(q.try_put(1));
  EXPECT_FALSE(q.try_put(1));

  for (std::size_t i = 0; i < bound; ++i) EXPECT_EQ(q.try_get(), 1);
  EXPECT_EQ(q.try_get(), std::nullopt);
}

TYPED_TEST(queues, a_smaller_bound_drops_nothing) {
  typename TestFixture::type q{3};
  fill(q, 3);
  EXPECT_FALSE(q.try_put(4));

  q.set_max_size(2);

  EXPECT_EQ(q.size(), 3U);
  EXPECT_FALSE(q.try_put(4));
  q.get();
  EXPECT_FALSE(q.try_put(4));
  q.get();
  EXPECT_TRUE(q.try_put(4));
}

TYPED_TEST(queues, a_larger_bound_lets_a_blocked_put_go_on) {
  typename TestFixture::type q{1};
  q.put(1);

  expect_blocks_until([&] { q.put(2); }, [&] { q.set_max_size(0); });

  EXPECT_EQ(q.size(), 2U);
}

namespace {

// The failing queue of CPython: an element whose copy, or whose comparison, throws when told to.
struct failing {
  static inline bool fail_next = false;

  explicit failing(int n = 0) : number{n} {}
  failing(const failing& other) : number{other.number} { fail(); }
  failing(failing&&) = default;
  failing& operator=(const failing&) = default;
  failing& operator=(failing&&) = default;

  static void fail() {
    if (std::exchange(fail_next, false)) throw std::runtime_error{"told to"};
  }
  bool operator<(const failing& other) const {
    fail();
    return number < other.number;
  }

  int number;
};

template <typename Queue>
std::vector<int> drain(Queue& q) {
  std::vector<int> numbers;
  while (auto next = q.try_get()) numbers.push_back(next->number);
  return numbers;
}

}  // namespace

TEST(queue_of_failing_elements, a_put_whose_copy_throws_changes_nothing) {
  cadre::queue<failing> q{2};
  const failing element{1};
  q.put(failing{0});

  failing::fail_next = true;
  EXPECT_THROW(q.try_put(element), std::runtime_error);
  failing::fail_next = true;
  EXPECT_THROW(q.put_for(element, long_time), std::runtime_error);
  EXPECT_EQ(q.unfinished_tasks(), 1U);
  EXPECT_TRUE(q.try_put(element));

  EXPECT_EQ(drain(q), (std::vector{0, 1}));
}

TEST(queue_of_failing_elements, a_comparison_that_throws_in_put_changes_nothing) {
  cadre::priority_queue<failing> q;
  for (const int n : {5, 1, 3}) q.put(failing{n});

  failing::fail_next = true;
  failing element{0};
  EXPECT_THROW(q.try_put(std::move(element)), std::runtime_error);

  EXPECT_EQ(element.number, 0);
  EXPECT_EQ(drain(q), (std::vector{1, 3, 5}));
}

TEST(priority_queue, copies_no_comparison) {
  struct by_size {
    by_size() = default;
    by_size(by_size&&) = default;
    by_size& operator=(by_size&&) = default;
    bool operator()(int a, int b) const { return std::abs(a) < std::abs(b); }
  };
  cadre::priority_queue<int, by_size> q;
  for (const int n : {-3, 2, 1}) q.put(n);

  EXPECT_EQ(q.get(), 1);
  EXPECT_EQ(q.get(), 2);
  q.shutdown({.immediate = true});

  EXPECT_TRUE(q.empty());
}

TEST(queue_of_failing_elements, a_comparison_that_throws_in_get_changes_nothing) {
  cadre::priority_queue<failing> q;
  for (const int n : {5, 1, 3}) q.put(failing{n});

  failing::fail_next = true;
  EXPECT_THROW(q.get(), std::runtime_error);

  EXPECT_EQ(q.size(), 3U);
  EXPECT_EQ(drain(q), (std::vector{1, 3, 5}));
}

}  // namespace cadre::test
