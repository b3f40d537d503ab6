// SPDX-License-Identifier: MIT
// The end of queues, as of Python 3.13. Source: CPython's test_queue.py.
#include <cadre/errors.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <thread>
#include <vector>

#include "conformance/queue_kinds.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

template <typename Kind>
class shutdown_of_queues : public queue_test<Kind> {};
TYPED_TEST_SUITE(shutdown_of_queues, queue_kinds, kind_names);

}  // namespace

TYPED_TEST(shutdown_of_queues, an_empty_one_that_is_shut_down_refuses) {
  typename TestFixture::type q;

  q.shutdown();

  EXPECT_THROW(q.put(1), shutdown_error);
  EXPECT_THROW(q.get(), shutdown_error);
}

TYPED_TEST(shutdown_of_queues, leaves_what_is_in_it) {
  typename TestFixture::type q;
  q.put(1);

  q.shutdown();

  EXPECT_EQ(q.get(), 1);
  EXPECT_THROW(q.get(), shutdown_error);
}

TYPED_TEST(shutdown_of_queues, immediate_drops_what_is_in_it) {
  typename TestFixture::type q;
  q.put(1);

  q.shutdown({.immediate = true});

  EXPECT_EQ(q.size(), 0U);
  EXPECT_THROW(q.get(), shutdown_error);
}

TYPED_TEST(shutdown_of_queues, can_become_immediate_and_stays) {
  typename TestFixture::type q;
  EXPECT_FALSE(q.is_shutdown());
  q.put(1);

  q.shutdown();
  EXPECT_TRUE(q.is_shutdown());
  EXPECT_EQ(q.size(), 1U);
  q.shutdown({.immediate = true});
  EXPECT_EQ(q.size(), 0U);
  q.shutdown();
  EXPECT_TRUE(q.is_shutdown());
}

TYPED_TEST(shutdown_of_queues, after_shutdown_each_member_does_what_it_can) {
  typename TestFixture::type q{2};
  fill(q, 2);

  q.shutdown();

  EXPECT_THROW(q.put(2), shutdown_error);
  EXPECT_THROW(q.try_put(2), shutdown_error);
  EXPECT_THROW(q.put_for(2, long_time), shutdown_error);
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(q.try_get().has_value());
    q.task_done();
  }
  q.join();
  EXPECT_THROW(q.get(), shutdown_error);
  EXPECT_THROW(q.try_get(), shutdown_error);
  EXPECT_THROW(q.get_for(long_time), shutdown_error);
}

TYPED_TEST(shutdown_of_queues, after_immediate_shutdown_each_member_refuses_and_join_returns) {
  typename TestFixture::type q{2};
  fill(q, 2);

  q.shutdown({.immediate = true});

  EXPECT_THROW(q.put(2), shutdown_error);
  EXPECT_THROW(q.try_put(2), shutdown_error);
  EXPECT_THROW(q.get(), shutdown_error);
  EXPECT_THROW(q.try_get(), shutdown_error);
  EXPECT_THROW(q.task_done(), invalid_state_error);
  q.join();
}

namespace {

/// Four threads put, six get, and one shuts the queue down half-way.
template <typename Queue>
void shut_down_in_the_middle(bool immediate) {
  Queue q;
  constexpr int each = 8192;
  std::latch half_way{1};
  std::atomic<int> put = 0;
  std::atomic<int> got = 0;
  {
    std::vector<std::jthread> threads;
    for (int writer = 0; writer < 4; ++writer) {
      threads.emplace_back([&] {
        try {
          for (int i = 0; i < each; ++i) {
            q.put(i);
            if (++put == 2 * each) half_way.count_down();
          }
        } catch (const shutdown_error&) {
        }
      });
    }
    for (int reader = 0; reader < 6; ++reader) {
      threads.emplace_back([&] {
        for ([[maybe_unused]] const int n : q) {
          ++got;
          q.task_done();
        }
      });
    }
    half_way.wait();
    q.shutdown({.immediate = immediate});
    q.join();
  }

  EXPECT_TRUE(q.empty());
  EXPECT_EQ(q.unfinished_tasks(), 0U);
  if (immediate) {
    EXPECT_LE(got, put);
  } else {
    EXPECT_EQ(got, put);
  }
}

}  // namespace

TYPED_TEST(shutdown_of_queues, amid_many_threads_loses_nothing) {
  shut_down_in_the_middle<typename TestFixture::type>(false);
}

TYPED_TEST(shutdown_of_queues, immediate_amid_many_threads_ends_them_all) {
  shut_down_in_the_middle<typename TestFixture::type>(true);
}

TYPED_TEST(shutdown_of_queues,
           of_several_gets_after_shutdown_as_many_succeed_as_there_are_elements) {
  for (const bool immediate : {false, true}) {
    typename TestFixture::type q{2};
    fill(q, 2);
    std::latch go{1};
    std::atomic<int> got = 0;
    std::atomic<int> refused = 0;
    {
      std::vector<std::jthread> readers;
      for (int i = 0; i < 3; ++i) {
        readers.emplace_back([&] {
          go.wait();
          try {
            q.get();
            ++got;
          } catch (const shutdown_error&) {
            ++refused;
          }
        });
      }
      q.shutdown({.immediate = immediate});
      go.count_down();
    }

    EXPECT_EQ(got, immediate ? 0 : 2);
    EXPECT_EQ(refused, immediate ? 3 : 1);
  }
}

TYPED_TEST(shutdown_of_queues, wakes_a_blocked_put) {
  for (const bool immediate : {false, true}) {
    typename TestFixture::type q{2};
    fill(q, 2);

    expect_blocks_until([&] { EXPECT_THROW(q.put(2), shutdown_error); },
                        [&] { q.shutdown({.immediate = immediate}); });
  }
}

TYPED_TEST(shutdown_of_queues, wakes_a_blocked_get) {
  for (const bool immediate : {false, true}) {
    typename TestFixture::type q;

    expect_blocks_until([&] { EXPECT_THROW(q.get(), shutdown_error); },
                        [&] { q.shutdown({.immediate = immediate}); });
  }
}

TYPED_TEST(shutdown_of_queues, lets_join_wait_for_what_is_left) {
  typename TestFixture::type q;
  q.put(1);

  expect_blocks_until([&] { q.join(); },
                      [&] {
                        q.shutdown();
                        EXPECT_EQ(q.unfinished_tasks(), 1U);
                        q.get();
                        q.task_done();
                      });
}

TYPED_TEST(shutdown_of_queues, immediate_ends_a_blocked_join) {
  typename TestFixture::type q;
  q.put(1);

  expect_blocks_until([&] { q.join(); }, [&] { q.shutdown({.immediate = true}); });
}

TYPED_TEST(shutdown_of_queues, immediate_lets_join_wait_for_what_was_taken) {
  typename TestFixture::type q;
  fill(q, 2);
  q.get();

  expect_blocks_until([&] { q.join(); },
                      [&] {
                        q.shutdown({.immediate = true});
                        EXPECT_EQ(q.unfinished_tasks(), 1U);
                        q.task_done();
                      });
}

TYPED_TEST(shutdown_of_queues, what_is_taken_and_done_after_shutdown_ends_every_join) {
  typename TestFixture::type q{2};
  fill(q, 2);
  EXPECT_EQ(q.unfinished_tasks(), q.size());
  std::atomic<int> sum = 0;
  {
    const std::jthread first_join{[&] { q.join(); }};
    const std::jthread second_join{[&] { q.join(); }};
    q.shutdown();
    const std::jthread reader{summing(q, sum)};
  }

  EXPECT_EQ(sum, 1);
}

}  // namespace cadre::test
