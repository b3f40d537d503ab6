// SPDX-License-Identifier: MIT
// The queue itself, under poll(2). Real loops are in the files beside this one.
#include <cadre/completion_queue.hpp>
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>
#include <cadre/promise.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/gate.hpp"
#include "support/timeouts.hpp"
#include "support/unhandled_log.hpp"

namespace cadre::test {
namespace {

bool is_readable(const completion_queue& q, std::chrono::milliseconds limit) {
  pollfd fd{.fd = q.native_handle(), .events = POLLIN, .revents = 0};
  return ::poll(&fd, 1, static_cast<int>(limit.count())) == 1;
}
bool is_readable(const completion_queue& q) { return is_readable(q, std::chrono::milliseconds{0}); }

/// A loop: until `count` were drained.
void drain_all(completion_queue& q, std::size_t count) {
  while (count > 0) {
    ASSERT_TRUE(is_readable(q, long_time));
    const std::size_t now = q.drain();
    ASSERT_LE(now, count);
    count -= now;
  }
}

}  // namespace

TEST(completion_queue, calls_back_on_the_thread_that_drains) {
  thread_pool_executor pool{1};
  completion_queue q;
  std::thread::id where;
  int result = 0;

  q.watch(pool.submit([] { return 42; }), [&](future<int> f) {
    where = std::this_thread::get_id();
    result = f.get();
  });
  drain_all(q, 1);

  EXPECT_EQ(result, 42);
  EXPECT_EQ(where, std::this_thread::get_id());
  EXPECT_EQ(q.size(), 0U);
}

TEST(completion_queue, is_readable_while_there_is_something_to_drain) {
  promise<int> p;
  completion_queue q;
  q.watch(p.get_future(), [](const future<int>&) {});
  EXPECT_FALSE(is_readable(q));

  p.set_value(1);
  EXPECT_TRUE(is_readable(q));
  EXPECT_EQ(q.drain(), 1U);

  EXPECT_FALSE(is_readable(q));
  EXPECT_EQ(q.drain(), 0U);
}

TEST(completion_queue, takes_futures_that_are_done_already) {
  promise<int> p;
  p.set_value(1);
  completion_queue q;

  q.watch(p.get_future(), 7);

  EXPECT_TRUE(is_readable(q));
  q.drain();
  EXPECT_EQ(q.next_key(), 7U);
}

TEST(completion_queue, drains_in_the_order_of_completion) {
  completion_queue q;
  std::vector<promise<int>> promises(3);
  for (std::uint64_t i = 0; i < 3; ++i) q.watch(promises[i].get_future(), i);
  for (const std::size_t i : {2U, 0U, 1U}) promises[i].set_value(0);

  EXPECT_EQ(q.drain(), 3U);

  EXPECT_EQ(q.next_key(), 2U);
  EXPECT_EQ(q.next_key(), 0U);
  EXPECT_EQ(q.next_key(), 1U);
  EXPECT_EQ(q.next_key(), std::nullopt);
}

TEST(completion_queue, sees_failures_and_cancellations) {
  completion_queue q;
  promise<int> fails;
  promise<int> never;
  std::vector<std::string> seen;
  q.watch(fails.get_future(),
          [&](future<int> f) { seen.emplace_back(f.exception() ? "failed" : ""); });
  q.watch(never.get_future(),
          [&](future<int> f) { seen.emplace_back(f.cancelled() ? "cancelled" : ""); });

  fails.set_exception(std::make_exception_ptr(std::domain_error{"as expected"}));
  never.get_future().cancel();
  q.drain();

  EXPECT_EQ(seen, (std::vector<std::string>{"failed", "cancelled"}));
}

TEST(completion_queue, an_exception_in_a_callback_is_reported_and_the_others_run) {
  const unhandled_log log;
  completion_queue q;
  std::vector<promise<void>> promises(2);
  bool second = false;
  q.watch(promises[0].get_future(), [](const future<void>&) { throw std::domain_error{"oops"}; });
  q.watch(promises[1].get_future(), [&](const future<void>&) { second = true; });
  for (auto& p : promises) p.set_value();

  EXPECT_EQ(q.drain(), 2U);

  EXPECT_TRUE(second);
  EXPECT_EQ(log.entries(), std::vector<std::string>{"completion callback: oops"});
}

TEST(completion_queue, what_becomes_done_meanwhile_is_drained_and_rings_no_bell) {
  completion_queue q;
  std::vector<promise<int>> promises(100);
  std::size_t next = 1;
  for (auto& p : promises) {
    q.watch(p.get_future(), [&](const future<int>&) {
      EXPECT_FALSE(is_readable(q));
      if (next < promises.size()) promises[next++].set_value(0);
    });
  }
  promises[0].set_value(0);

  EXPECT_EQ(q.drain(), 100U);

  EXPECT_FALSE(is_readable(q));
}

TEST(completion_queue, at_its_limit_it_stays_readable) {
  completion_queue q;
  std::vector<promise<int>> promises(5);
  for (std::uint64_t i = 0; i < 5; ++i) q.watch(promises[i].get_future(), i);
  for (auto& p : promises) p.set_value(0);

  EXPECT_EQ(q.drain(2), 2U);
  EXPECT_TRUE(is_readable(q));
  EXPECT_EQ(q.size(), 3U);
  EXPECT_EQ(q.drain(2), 2U);
  EXPECT_TRUE(is_readable(q));
  EXPECT_EQ(q.drain(2), 1U);

  EXPECT_FALSE(is_readable(q));
}

TEST(completion_queue, callbacks_may_watch_further_futures) {
  thread_pool_executor pool{1};
  completion_queue q;
  int left = 100;
  auto again = [&](auto& self) -> void {
    q.watch(pool.submit([] {}), [&](const future<void>&) {
      if (--left > 0) self(self);
    });
  };
  again(again);

  while (left > 0) {
    ASSERT_TRUE(is_readable(q, long_time));
    q.drain();
  }
}

TEST(completion_queue, drain_in_a_callback_does_nothing) {
  completion_queue q;
  std::vector<promise<int>> promises(2);
  std::size_t inner = 99;
  q.watch(promises[0].get_future(), [&](const future<int>&) { inner = q.drain(); });
  q.watch(promises[1].get_future(), 1);
  for (auto& p : promises) p.set_value(0);

  EXPECT_EQ(q.drain(), 2U);

  EXPECT_EQ(inner, 0U);
}

TEST(completion_queue, destroyed_it_forgets_and_the_calls_go_on) {
  const gate here;
  thread_pool_executor pool{1};
  auto captured = std::make_shared<int>(1);
  const std::weak_ptr<int> alive = captured;
  const auto f = pool.submit(&pass, here.handle(), 42);
  {
    completion_queue q;
    q.watch(f, [captured = std::move(captured)](const future<int>&) { FAIL(); });
  }

  EXPECT_TRUE(alive.expired());
  here.open();
  EXPECT_EQ(f.get(), 42);
}

TEST(completion_queue, keeps_nothing_of_a_future_that_is_empty) {
  completion_queue q;
  auto captured = std::make_shared<int>(1);
  const std::weak_ptr<int> alive = captured;

  EXPECT_THROW(q.watch(future<int>{}, [captured = std::move(captured)](const future<int>&) {}),
               invalid_state_error);

  EXPECT_TRUE(alive.expired());
}

TEST(completion_queue, may_be_destroyed_while_futures_become_done) {
  for (int round = 0; round < 200; ++round) {
    thread_pool_executor pool{2};
    std::vector<future<int>> calls;
    {
      completion_queue q;
      for (int i = 0; i < 20; ++i) {
        calls.push_back(pool.submit([i] { return i; }));
        q.watch(calls.back(), [](const future<int>&) {});
      }
      if (round % 2 == 0) q.drain();
    }
    for (const auto& f : calls) f.wait();
  }
}

TEST(completion_queue, may_be_destroyed_by_a_callback) {
  auto q = std::make_unique<completion_queue>();
  std::vector<promise<int>> promises(2);
  int calls = 0;
  for (auto& p : promises) {
    q->watch(p.get_future(), [&](const future<int>&) {
      ++calls;
      q.reset();
    });
  }
  for (auto& p : promises) p.set_value(0);

  EXPECT_EQ(q->drain(), 1U);

  EXPECT_EQ(calls, 1);
  EXPECT_EQ(q, nullptr);
}

TEST(completion_queue, from_many_threads_none_is_lost) {
  constexpr std::size_t each = 5'000;
  completion_queue q;
  thread_pool_executor pool{2};
  std::atomic<std::size_t> watched{0};
  std::size_t seen = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        for (std::size_t i = 0; i < each; ++i) {
          q.watch(pool.submit([] {}), [&](const future<void>&) { ++seen; });
          ++watched;
        }
      });
    }
    while (seen < 3 * each) {
      ASSERT_TRUE(is_readable(q, long_time)) << seen;
      q.drain();
    }
  }
  EXPECT_EQ(seen, 3 * each);
  EXPECT_EQ(q.size(), 0U);
}

TEST(completion_queue, serves_worker_processes_too) {
  process_pool_executor pool{1};
  completion_queue q;
  int result = 0;

  q.watch(pool.submit(
              +[](int n) { return 7 * n; }, 6),
          [&](future<int> f) { result = f.get(); });
  drain_all(q, 1);

  EXPECT_EQ(result, 42);
}

TEST(completion_queue, in_a_forked_child_it_says_whose_it_is) {
  promise<int> p;
  completion_queue q;
  q.watch(p.get_future(), 1);
  const pid_t child = ::fork();
  if (child == 0) {
    int caught = 0;
    try {
      q.drain();
    } catch (const broken_executor&) {
      ++caught;
    }
    try {
      q.watch(p.get_future(), 2);
    } catch (const broken_executor&) {
      ++caught;
    }
    ::_exit(caught);
  }
  int status = 0;
  ::waitpid(child, &status, 0);

  EXPECT_EQ(WEXITSTATUS(status), 2);
  p.set_value(1);
  EXPECT_EQ(q.drain(), 1U);
}

}  // namespace cadre::test
