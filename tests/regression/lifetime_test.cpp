// SPDX-License-Identifier: MIT
// Pools that end at every moment, in every place: where peers crash, hang or join themselves.
#include <cadre/errors.hpp>
#include <cadre/thread_pool_executor.hpp>
#include <cadre/wait.hpp>

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/gate.hpp"
#include "support/other_thread.hpp"
#include "support/process.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

// --- programs ---

int has_a_static_pool() {
  static thread_pool_executor pool{2};
  for (int i = 0; i < 100; ++i) pool.post([] { std::fputs(".", stdout); });
  return 0;
}

int has_a_static_pool_that_is_used_by_a_static_object() {
  static thread_pool_executor pool{2};
  static const struct uses_the_pool {
    ~uses_the_pool() {
      std::printf("%d\n", pool.submit([] { return 42; }).get());
    }
  } last_user;
  return 0;
}

int leaks_a_pool() {
  static auto* pool = new thread_pool_executor{2};
  std::printf("%d\n", pool->submit([] { return 42; }).get());
  return 0;
}

// Constructed before main, as executorch's and OpenImageIO's.
std::optional<thread_pool_executor> global_pool;
const bool wants_global_pool = [] {
  std::ifstream command{"/proc/self/cmdline"};
  std::string words;
  std::getline(command, words);
  return words.find("uses a global pool") != std::string::npos;
}();
const future<int> computed_before_main =
    wants_global_pool ? global_pool.emplace(2).submit([] { return 42; }) : future<int>{};

int uses_a_global_pool() {
  std::printf("%d %d\n", computed_before_main.get(), global_pool->submit([] { return 43; }).get());
  return 0;
}

const child_program static_pool{"has a static pool", &has_a_static_pool};
const child_program used_at_exit{"has a static pool that is used by a static object",
                                 &has_a_static_pool_that_is_used_by_a_static_object};
const child_program leaked_pool{"leaks a pool", &leaks_a_pool};
const child_program early_pool{"uses a global pool", &uses_a_global_pool};

/// What ends its thread in a call, a posted call, or an element of a map.
template <int which>
int ends_a_thread() {
  thread_pool_executor pool{1};
  const auto leave = [](int) { ::pthread_exit(nullptr); };
  if constexpr (which == 0) pool.submit({.name = "resize"}, leave, 1).wait();
  if constexpr (which == 1) pool.post(leave, 1);
  if constexpr (which == 2) pool.map(leave, std::vector{1, 2}).wait();
  pool.shutdown();
  return 0;
}
const child_program thread_ended_by_call{"ends its thread in a call", &ends_a_thread<0>};
const child_program thread_ended_by_post{"ends its thread in a posted call", &ends_a_thread<1>};
const child_program thread_ended_by_map{"ends its thread in a map", &ends_a_thread<2>};

}  // namespace

// folly #2093: a race if the pool is destroyed right after wait().
TEST(lifetime, of_a_pool_may_end_right_after_the_wait) {
  for (int i = 0; i < 300; ++i) {
    std::optional<thread_pool_executor> pool{2};
    const auto f = pool->submit([i] { return i; });
    f.wait();
    pool.reset();
    ASSERT_EQ(f.get(), i);
  }
}

TEST(lifetime, of_a_future_exceeds_that_of_its_pool) {
  future<std::string> f;
  {
    thread_pool_executor pool{1};
    f = pool.submit([] { return std::string(1000, 'x'); });
  }

  EXPECT_EQ(f.get().size(), 1000U);
}

// libcoro #400 and #420: a pool destroyed by its own worker joined itself and aborted.
TEST(lifetime, of_a_pool_may_be_ended_by_one_of_its_calls) {
  for (int i = 0; i < 100; ++i) {
    const gate begin;
    auto pool = std::make_unique<thread_pool_executor>(2);
    const auto f = pool->submit([&] {
      pass(begin.handle(), 0);
      pool.reset();
      return 42;
    });
    begin.open();

    ASSERT_EQ(f.get(), 42);
  }
}

TEST(lifetime, of_a_pool_ended_by_one_of_its_calls_lasts_for_the_other_calls) {
  const gate begin;
  auto pool = std::make_unique<thread_pool_executor>(1);
  const auto ends_it = pool->submit([&] {
    pass(begin.handle(), 0);
    pool.reset();
  });
  std::vector<future<int>> others;
  for (int i = 0; i < 10; ++i) others.push_back(pool->submit([i] { return i; }));

  begin.open();

  for (int i = 0; i < 10; ++i) EXPECT_EQ(others[static_cast<std::size_t>(i)].get(), i);
  ends_it.get();
}

// libcoro #396: calls that own the pool that owns them.
TEST(lifetime, of_a_pool_may_be_shared_with_its_calls) {
  std::atomic<int> ran{0};
  const gate done;
  {
    const auto pool = std::make_shared<thread_pool_executor>(2);
    for (int i = 0; i < 10; ++i) {
      pool->post([pool, &ran, &done] {
        ++ran;
        arrive(done.handle(), 0);
      });
    }
  }

  done.await_arrivals(10);
  EXPECT_EQ(ran, 10);
}

TEST(lifetime, of_a_pool_may_be_ended_by_a_done_callback) {
  const gate begin;
  const gate ended;
  auto pool = std::make_unique<thread_pool_executor>(1);
  pool->submit(&pass, begin.handle(), 0).add_done_callback([&](const future<int>&) {
    pool.reset();
    arrive(ended.handle(), 0);
  });

  begin.open();

  ended.await_arrivals(1);
}

// gh-131598, F27: "cannot join current thread".
TEST(lifetime, shutdown_may_be_called_by_a_done_callback) {
  const gate begin;
  thread_pool_executor pool{1};
  std::optional<bool> complete;
  pool.submit(&pass, begin.handle(), 0).add_done_callback([&](const future<int>&) {
    complete = pool.shutdown().complete;
  });

  begin.open();
  pool.shutdown();

  EXPECT_EQ(complete, false) << "the callback's own worker had not ended";
}

TEST(lifetime, shutdown_may_be_called_by_a_call) {
  thread_pool_executor pool{1};

  EXPECT_FALSE(pool.submit([&] { return pool.shutdown().complete; }).get());

  EXPECT_TRUE(pool.shutdown().complete);
}

// F31.
TEST(lifetime, shutdown_may_be_called_by_several_threads_at_once) {
  for (int i = 0; i < 50; ++i) {
    thread_pool_executor pool{2};
    std::atomic<int> ran{0};
    for (int n = 0; n < 20; ++n) pool.post([&] { ++ran; });
    std::vector<std::jthread> closers;
    for (int t = 0; t < 3; ++t) {
      closers.emplace_back([&] {
        EXPECT_TRUE(pool.shutdown().complete);
        EXPECT_EQ(ran, 20);
      });
    }
  }
}

TEST(lifetime, a_call_accepted_while_shutdown_begins_is_run) {
  for (int i = 0; i < 50; ++i) {
    thread_pool_executor pool{2};
    std::atomic<int> accepted{0};
    std::atomic<int> ran{0};
    {
      std::vector<std::jthread> submitters;
      for (int t = 0; t < 2; ++t) {
        submitters.emplace_back([&] {
          try {
            for (;;) {
              pool.post([&] { ++ran; });
              ++accepted;
            }
          } catch (const shutdown_error&) {
          }
        });
      }
      while (accepted == 0) std::this_thread::yield();
      pool.shutdown();
    }

    ASSERT_EQ(ran, accepted);
  }
}

// gh-94440, F24.
TEST(lifetime, submit_cancel_and_shutdown_in_a_row_do_not_hang) {
  for (int i = 0; i < 300; ++i) {
    thread_pool_executor pool{1};
    pool.submit([] {}).cancel();
    pool.shutdown();
  }
}

// gh-124706, F45: descriptors ran out. What is left behind fails any test: see
// support/leak_check.hpp.
TEST(lifetime, of_a_hundred_pools_leaves_nothing_behind) {
  for (int i = 0; i < 100; ++i) {
    thread_pool_executor pool{4};
    for (int n = 0; n < 4; ++n) pool.post([] {});
  }
}

TEST(lifetime, of_a_pool_that_was_never_used_is_cheap) {
  for (int i = 0; i < 1000; ++i) const thread_pool_executor pool{4};
}

// gh-143276, F32: Python leaves the `with` block before the callbacks have run.
TEST(lifetime, of_a_pool_covers_the_callbacks_of_its_calls) {
  for (int i = 0; i < 100; ++i) {
    bool called = false;
    const gate begin;
    {
      thread_pool_executor pool{1};
      pool.submit(&pass, begin.handle(), 0).add_done_callback([&](const future<int>&) {
        called = true;
      });
      begin.open();
    }

    ASSERT_TRUE(called);
  }
}

// tensorflow #932.
TEST(lifetime, of_a_pool_may_end_while_others_wait_for_its_calls) {
  const gate begin;
  auto pool = std::make_unique<thread_pool_executor>(1);
  const auto f = pool->submit(&pass, begin.handle(), 42);
  int got = 0;
  other_thread waiter{[&] { got = f.get(); }};
  waiter.await_asleep();
  other_thread ender{[&] { pool.reset(); }};
  ender.await_asleep();

  begin.open();
  waiter.join();

  EXPECT_EQ(got, 42);
}

TEST(lifetime, a_call_that_shutdown_finds_running_may_still_submit_before) {
  const gate begin;
  thread_pool_executor pool{1};
  const auto outer = pool.submit([&] {
    const auto inner = pool.submit([] { return 42; });
    pass(begin.handle(), 0);
    return inner.get();
  });
  begin.await_arrivals(1);
  other_thread closer{[&] { pool.shutdown(); }};

  closer.await_asleep();
  begin.open();

  EXPECT_EQ(outer.get(), 42);
}

TEST(lifetime, a_deadline_ends_a_shutdown_and_reports_what_runs) {
  const gate here;
  thread_pool_executor pool{1};
  const auto stuck = pool.submit({.name = "stuck"}, &pass, here.handle(), 0);
  const auto queued = pool.submit([] { return 42; });
  here.await_arrivals(1);

  const shutdown_report report = pool.shutdown({.deadline = short_time, .grace = short_time});

  EXPECT_FALSE(report.complete);
  EXPECT_EQ(report.still_running, 1U);
  EXPECT_EQ(report.names, std::vector<std::string>{"stuck"});
  EXPECT_TRUE(queued.cancelled());
  here.open();
}

TEST(lifetime, a_deadline_stops_the_calls_that_can_be_stopped) {
  const gate here;
  thread_pool_executor pool{1};
  const auto f = pool.submit([&](std::stop_token stop) {
    arrive(here.handle(), 0);
    while (!stop.stop_requested()) std::this_thread::yield();
    return 42;
  });
  here.await_arrivals(1);

  const shutdown_report report = pool.shutdown({.deadline = short_time, .grace = long_time});

  EXPECT_TRUE(report.complete);
  EXPECT_EQ(f.get(), 42);
}

// oneTBB #977, cpprestsdk PR 611, libosmium PR 213, thread-pool-cpp #29, dp #52.
TEST(lifetime, of_a_static_pool_ends_with_the_program) {
  const ended child = static_pool.run();

  EXPECT_EQ(child.exit_code, 0) << child;
  EXPECT_EQ(child.out, std::string(100, '.'));
}

TEST(lifetime, of_a_static_pool_covers_static_objects_made_after_it) {
  const ended child = used_at_exit.run();

  EXPECT_EQ(child.exit_code, 0) << child;
  EXPECT_EQ(child.out, "42\n");
}

TEST(lifetime, of_a_leaked_pool_does_not_keep_the_program_alive) {
  const ended child = leaked_pool.run();

  EXPECT_EQ(child.exit_code, 0) << child;
  EXPECT_EQ(child.out, "42\n");
}

// gh-155890, F38.
TEST(lifetime, of_a_global_pool_may_begin_before_main) {
  const ended child = early_pool.run();

  EXPECT_EQ(child.exit_code, 0) << child;
  EXPECT_EQ(child.out, "42 43\n");
}

TEST(lifetime, of_a_program_whose_call_ends_its_thread_is_over_with_a_sentence) {
  for (const child_program* each :
       {&thread_ended_by_call, &thread_ended_by_post, &thread_ended_by_map}) {
    const ended child = each->run();

    EXPECT_EQ(child.signal, SIGABRT) << child;
    EXPECT_NE(child.err.find("pthread_exit"), std::string::npos) << child;
    if (each == &thread_ended_by_call) {
      EXPECT_NE(child.err.find("\"resize\""), std::string::npos) << child;
    }
  }
}

}  // namespace cadre::test
