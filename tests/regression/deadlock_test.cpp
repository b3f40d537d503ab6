// SPDX-License-Identifier: MIT
// Waits that can never end throw instead of hanging: peers and Python only document them.
#include <cadre/errors.hpp>
#include <cadre/promise.hpp>
#include <cadre/thread_pool_executor.hpp>
#include <cadre/timer.hpp>
#include <cadre/wait.hpp>

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <latch>
#include <optional>
#include <ranges>
#include <string>
#include <thread>
#include <vector>

#include "support/gate.hpp"
#include "support/other_thread.hpp"
#include "support/process.hpp"
#include "support/sanitizers.hpp"

namespace cadre::test {
namespace {

/// Calls endless(), which calls itself through the pool, on threads with small stacks.
int endless(thread_pool_executor& pool) {
  return pool.submit([&pool] { return endless(pool); }).get() + 1;
}

const child_program recurses{"recurses without end", [] {
                               pthread_attr_t small;
                               ::pthread_attr_init(&small);
                               // ThreadSanitizer keeps some of its own data on each stack.
                               constexpr std::size_t kib = under_tsan ? 2048 : 512;
                               ::pthread_attr_setstacksize(&small, kib * 1024);
                               ::pthread_setattr_default_np(&small);
                               ::pthread_attr_destroy(&small);
                               thread_pool_executor pool{1};
                               try {
                                 pool.submit([&] { return endless(pool); }).get();
                               } catch (const deadlock_error& e) {
                                 std::puts(e.what());
                               }
                               return 0;
                             }};

const child_program drops_its_own_results{
    "drops its own results", [] {
      thread_pool_executor pool{2};
      std::function<void()> drop;
      std::latch known{1};
      const auto element = [&](int n) {
        known.wait();
        drop();
        return n;
      };
      using results = decltype(pool.map(element, std::views::iota(0, 1)));
      std::optional<results> own{pool.map(element, std::views::iota(0, 1))};
      drop = [&] { own.reset(); };
      known.count_down();
      pool.shutdown();
      return 0;
    }};

}  // namespace

TEST(deadlock, a_call_that_waits_for_itself_throws) {
  const gate begin;
  thread_pool_executor pool{1};
  future<int> self;
  self = pool.submit([&] {
    pass(begin.handle(), 0);
    return self.get();
  });

  begin.open();

  EXPECT_THROW(self.get(), deadlock_error);
}

TEST(deadlock, the_message_names_the_call) {
  const gate begin;
  thread_pool_executor pool{1};
  future<int> self;
  self = pool.submit({.name = "render 7"}, [&] {
    pass(begin.handle(), 0);
    return self.get();
  });
  std::string message;

  begin.open();
  try {
    self.get();
  } catch (const deadlock_error& e) {
    message = e.what();
  }

  EXPECT_NE(message.find("\"render 7\""), std::string::npos) << message;
}

// Python's documentation shows this as a deadlock.
TEST(deadlock, two_calls_that_wait_for_each_other_throw) {
  const gate begin;
  thread_pool_executor pool{2};
  std::array<future<int>, 2> calls;
  for (std::size_t i = 0; i < 2; ++i) {
    calls[i] = pool.submit([&calls, &begin, i] {
      pass(begin.handle(), 0);
      return calls[1 - i].get();
    });
  }
  begin.await_arrivals(2);

  begin.open();

  EXPECT_THROW(calls[0].get(), deadlock_error);
  EXPECT_THROW(calls[1].get(), deadlock_error);
}

TEST(deadlock, a_circle_through_several_pools_throws) {
  const gate begin;
  std::array<thread_pool_executor, 3> pools{thread_pool_executor{1}, thread_pool_executor{1},
                                            thread_pool_executor{1}};
  std::array<future<int>, 3> calls;
  for (std::size_t i = 0; i < 3; ++i) {
    calls[i] = pools[i].submit([&calls, &begin, i] {
      pass(begin.handle(), 0);
      return calls[(i + 1) % 3].get();
    });
  }
  begin.await_arrivals(3);

  begin.open();

  for (const auto& call : calls) EXPECT_THROW(call.get(), deadlock_error);
}

TEST(deadlock, a_call_that_waits_for_all_of_its_batch_throws) {
  const gate begin;
  thread_pool_executor pool{2};
  std::vector<future<void>> batch(3);
  for (auto& f : batch) {
    f = pool.submit([&] {
      pass(begin.handle(), 0);
      cadre::wait(batch);
    });
  }

  begin.open();

  int caught = 0;
  for (const auto& f : batch) caught += f.exception() != nullptr ? 1 : 0;
  EXPECT_GE(caught, 1);
}

TEST(deadlock, a_call_that_waits_for_itself_through_then_throws) {
  const gate begin;
  thread_pool_executor pool{1};
  future<int> next;
  const future<int> self = pool.submit([&] {
    pass(begin.handle(), 0);
    return next.get();
  });
  next = self.then([](int n) { return n; });

  begin.open();

  EXPECT_THROW(self.get(), deadlock_error);
}

TEST(deadlock, a_continuation_on_a_pool_that_waits_for_itself_throws) {
  thread_pool_executor pool{1};
  promise<void> begin;
  future<int> self;
  self = begin.get_future().then(pool, [&](const future<void>&) { return self.get(); });

  begin.set_value();

  EXPECT_THROW(self.get(), deadlock_error);
}

TEST(deadlock, a_call_of_a_timer_that_waits_for_itself_throws) {
  const gate begin;
  thread_pool_executor pool{1};
  future<int> self;
  self = submit_after(pool, std::chrono::milliseconds{1}, [&] {
    pass(begin.handle(), 0);
    return self.get();
  });

  begin.open();

  EXPECT_THROW(self.get(), deadlock_error);
}

TEST(deadlock, a_call_that_waits_for_itself_through_when_all_throws) {
  const gate begin;
  thread_pool_executor pool{1};
  future<std::vector<future<int>>> all;
  const future<int> self = pool.submit([&] {
    pass(begin.handle(), 0);
    return static_cast<int>(all.get().size());
  });
  all = when_all(std::vector{self});

  begin.open();

  EXPECT_THROW(self.get(), deadlock_error);
}

// A wait for the first of several can end by another of them.
TEST(deadlock, waiting_for_oneself_or_another_is_allowed) {
  const gate begin;
  promise<int> writer;
  thread_pool_executor pool{1};
  future<int> self;
  self = pool.submit([&] {
    pass(begin.handle(), 0);
    const auto result = cadre::wait(std::vector{self, writer.get_future()},
                                    {.return_when = return_when::first_completed});
    return result.done.at(0).get();
  });

  begin.open();
  writer.set_value(42);

  EXPECT_EQ(self.get(), 42);
}

TEST(deadlock, the_other_calls_of_the_pool_are_unaffected) {
  const gate begin;
  thread_pool_executor pool{1};
  future<int> self;
  self = pool.submit([&] {
    pass(begin.handle(), 0);
    return self.get();
  });
  const auto other = pool.submit([] { return 42; });

  begin.open();

  EXPECT_THROW(self.get(), deadlock_error);
  EXPECT_EQ(other.get(), 42);
}

// tensorflow #929: helping waiters overflow the stack.
TEST(deadlock, endless_recursion_through_the_pool_throws_before_the_stacks_end) {
  const ended child = recurses.run();

  EXPECT_EQ(child.exit_code, 0) << child;
  EXPECT_NE(child.out.find("nested deeper"), std::string::npos) << child;
}

// --- the results of a map, whose end waits for what runs ---

TEST(deadlock, an_element_may_not_wait_for_the_call_that_leaves_its_map) {
  thread_pool_executor pool{2};
  std::latch known{1};
  std::atomic<pid_t> leaver = 0;
  std::atomic<bool> runs = false;
  future<void> leaves;
  leaves = pool.submit([&] {
    known.wait();
    const auto results = pool.map(
        [&](int n) {
          runs = true;
          while (leaver == 0 || !is_asleep(leaver)) std::this_thread::yield();
          EXPECT_THROW(leaves.wait(), deadlock_error);
          return n;
        },
        std::views::iota(0, 1));
    while (!runs) std::this_thread::yield();
    leaver = ::gettid();
  });
  known.count_down();

  leaves.get();
}

TEST(deadlock, an_element_that_drops_its_own_results_ends_the_program) {
  const ended child = drops_its_own_results.run();

  EXPECT_EQ(child.signal, SIGABRT) << child;
  EXPECT_NE(child.err.find("deadlock_error"), std::string::npos) << child;
}

}  // namespace cadre::test
