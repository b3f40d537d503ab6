// SPDX-License-Identifier: MIT
// Queues between many threads, and what their elements may be. Source: CPython's test_queue.py, the
// tests of SimpleQueue; the rest has no counterpart there.
#include <cadre/errors.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/queue_kinds.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using std::chrono_literals::operator""us;

template <typename Kind>
class queues_between_threads : public queue_test<Kind> {};
TYPED_TEST_SUITE(queues_between_threads, queue_kinds, kind_names);

/// What `pairs` threads that get with `get(q)` receive of 0, 1, ... from as many that put.
template <typename Queue, typename Get>
std::vector<int> passed_on(Queue& q, int pairs, int count, Get get) {
  std::atomic<int> next = 0;
  std::mutex mutex;
  std::vector<int> results;
  {
    std::vector<std::jthread> getters;
    for (int i = 0; i < pairs; ++i) {
      getters.emplace_back([&] {
        try {
          for (;;) {
            if (const std::optional<int> n = get(q)) {
              const std::lock_guard lock{mutex};
              results.push_back(*n);
            } else {
              std::this_thread::yield();
            }
          }
        } catch (const shutdown_error&) {
        }
      });
    }
    {
      std::vector<std::jthread> putters;
      for (int i = 0; i < pairs; ++i) {
        putters.emplace_back([&] {
          for (int n = next++; n < count; n = next++) q.put(n);
        });
      }
    }
    q.shutdown();
  }
  return results;
}

std::vector<int> numbers(int count) {
  std::vector<int> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

template <typename Queue, typename Get>
void expect_each_arrives_once(std::size_t max_size, int count, Get get) {
  Queue q{max_size};
  auto results = passed_on(q, 20, count, get);
  std::ranges::sort(results);
  EXPECT_EQ(results, numbers(count));
  EXPECT_TRUE(q.empty());
}

}  // namespace

TEST(fifo_queue, keeps_the_order_between_one_putter_and_one_getter) {
  for (const std::size_t max_size : {0U, 1U, 3U}) {
    cadre::queue<int> q{max_size};
    EXPECT_EQ(passed_on(q, 1, 1000, [](auto& from) { return std::optional{from.get()}; }),
              numbers(1000));
  }
}

TYPED_TEST(queues_between_threads, each_element_arrives_once) {
  for (const std::size_t max_size : {0U, 1U, 7U}) {
    expect_each_arrives_once<typename TestFixture::type>(
        max_size, 5000, [](auto& q) { return std::optional{q.get()}; });
  }
}

TYPED_TEST(queues_between_threads, each_element_arrives_once_without_blocking) {
  expect_each_arrives_once<typename TestFixture::type>(0, 5000,
                                                       [](auto& q) { return q.try_get(); });
}

TYPED_TEST(queues_between_threads, each_element_arrives_once_amid_timeouts) {
  expect_each_arrives_once<typename TestFixture::type>(3, 1000,
                                                       [](auto& q) { return q.get_for(10us); });
}

TYPED_TEST(queues_between_threads, an_element_that_was_taken_is_not_kept) {
  struct watched {
    std::shared_ptr<int> number;
    bool operator<(const watched& other) const { return *number < *other.number; }
  };
  typename TypeParam::template of<watched> q;
  for (int i = 0; i < 20; ++i) q.put({std::make_shared<int>(i)});

  for (int i = 0; i < 20; ++i) {
    const std::weak_ptr<int> seen = q.get().number;
    EXPECT_TRUE(seen.expired());
  }
}

// Red when values are destroyed, or made, under a lock of the queue.
TYPED_TEST(queues_between_threads,
           an_element_may_use_its_queue_when_it_is_made_moved_or_destroyed) {
  struct entangled {
    typename TypeParam::template of<entangled>* queue = nullptr;

    explicit entangled(typename TypeParam::template of<entangled>& q) : queue{&q} {}
    entangled(entangled&& other) noexcept : queue{other.queue} { touch(); }
    entangled& operator=(entangled&& other) noexcept {
      queue = other.queue;
      return *this;
    }
    ~entangled() { touch(); }
    void touch() const noexcept {
      if (queue->is_shutdown()) return;
      queue->set_max_size(queue->max_size());  // takes every lock
    }
    bool operator<(const entangled& other) const { return this < &other; }
  };
  typename TypeParam::template of<entangled> q;
  for (int i = 0; i < 3; ++i) q.put(entangled{q});

  q.get();
  EXPECT_TRUE(q.try_get().has_value());

  EXPECT_EQ(q.size(), 1U);
  q.shutdown({.immediate = true});
}

TEST(queue_elements, may_be_move_only) {
  struct by_value {
    bool operator()(const std::unique_ptr<int>& a, const std::unique_ptr<int>& b) const {
      return *a < *b;
    }
  };
  cadre::queue<std::unique_ptr<int>> q{1};
  cadre::priority_queue<std::unique_ptr<int>, by_value> ordered;
  q.put(std::make_unique<int>(1));

  auto refused = std::make_unique<int>(2);
  EXPECT_FALSE(q.try_put(std::move(refused)));
  EXPECT_FALSE(q.put_for(std::move(refused), 1us));
  ASSERT_NE(refused, nullptr);  // NOLINT(bugprone-use-after-move): that is the promise
  ordered.put(std::move(refused));
  ordered.put(std::make_unique<int>(0));

  EXPECT_EQ(*q.get(), 1);
  EXPECT_EQ(*ordered.get(), 0);
  EXPECT_EQ(*ordered.get_for(long_time).value(), 2);
}

TYPED_TEST(queues_between_threads, a_stop_request_ends_a_blocked_get) {
  typename TestFixture::type q;
  std::stop_source stop;

  expect_blocks_until([&] { EXPECT_EQ(q.get(stop.get_token()), std::nullopt); },
                      [&] { stop.request_stop(); });

  EXPECT_EQ(q.get_for(long_time, stop.get_token()), std::nullopt);
  q.put(1);
  EXPECT_EQ(q.get(stop.get_token()), 1);
}

TYPED_TEST(queues_between_threads, a_stop_request_ends_a_loop) {
  typename TestFixture::type q;
  q.put(1);
  std::stop_source stop;
  int got = 0;

  expect_blocks_until(
      [&] {
        for (const int n : q.until(stop.get_token())) got += n;
      },
      [&] { stop.request_stop(); });

  EXPECT_EQ(got, 1);
}

TYPED_TEST(queues_between_threads, a_stop_request_ends_a_blocked_put_and_leaves_the_value) {
  typename TypeParam::template of<std::string> q{1};
  q.put("first");
  std::stop_source stop;
  std::string value = "a value that is too long for a small string";
  const std::string before = value;

  expect_blocks_until([&] { EXPECT_FALSE(q.put(std::move(value), stop.get_token())); },
                      [&] { stop.request_stop(); });

  EXPECT_EQ(value, before);
  EXPECT_EQ(q.size(), 1U);
}

TYPED_TEST(queues_between_threads, a_stop_request_or_a_timeout_ends_a_join) {
  typename TestFixture::type q;
  q.put(1);
  std::stop_source stop;

  EXPECT_FALSE(q.join_for(1us));
  expect_blocks_until([&] { EXPECT_FALSE(q.join_for(long_time, stop.get_token())); },
                      [&] { stop.request_stop(); });
}

TYPED_TEST(queues_between_threads, the_destructor_ends_blocked_calls_with_shutdown_error) {
  auto full = std::make_unique<typename TestFixture::type>(1);
  full->put(1);
  other_thread putter{[raw = full.get()] { EXPECT_THROW(raw->put(2), shutdown_error); }};
  auto taken = std::make_unique<typename TestFixture::type>();
  taken->put(1);
  taken->get();
  other_thread joiner{[raw = taken.get()] { EXPECT_THROW(raw->join(), shutdown_error); }};
  other_thread getter{[raw = taken.get()] { EXPECT_THROW(raw->get(), shutdown_error); }};
  for (const other_thread* each : {&putter, &joiner, &getter}) EXPECT_TRUE(each->await_asleep());

  full.reset();
  taken.reset();

  for (other_thread* each : {&putter, &joiner, &getter}) each->join();
}

TYPED_TEST(queues_between_threads, calls_of_one_worker_may_wait_for_each_other) {
  thread_pool_executor pool{1};
  typename TestFixture::type q{1};

  // Each blocks the one worker; the pool starts replacements.
  auto sum = pool.submit([&] {
    int total = 0;
    for (const int n : q) total += n;
    return total;
  });
  auto writer = pool.submit([&] {
    for (int i = 0; i < 100; ++i) q.put(i);
    q.shutdown();
  });

  EXPECT_EQ(sum.get_for(long_time), 4950);
  writer.get();
}

}  // namespace cadre::test
