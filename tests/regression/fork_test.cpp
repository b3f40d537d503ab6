// SPDX-License-Identifier: MIT
// fork() while pools exist: no peer says what then (ROOT PR 7075, tt-metal PR 39232). Here the
// child is told clearly, nothing hangs, and the parent does not notice. F34, F35.
#include <cadre/errors.hpp>
#include <cadre/promise.hpp>
#include <cadre/thread_pool_executor.hpp>
#include <cadre/wait.hpp>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/gate.hpp"
#include "support/process.hpp"
#include "support/sanitizers.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

/// What `question` answers in a forked child; -1 if that did not come to its end.
template <typename Question>
int in_a_child(Question question) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(static_cast<unsigned>(
        std::chrono::ceil<std::chrono::seconds>(medium_time).count()));  // no hang outlives us
    int answer = 99;
    try {
      answer = question();
    } catch (const std::exception& e) {
      std::fprintf(stderr, "in the child: %s\n", e.what());
    }
    ::_exit(answer);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// 1 if `action` throws an Error that says `words`.
template <typename Error, typename Action>
int throws_that_says(const std::string& words, Action action) {
  try {
    action();
  } catch (const Error& e) {
    return std::string{e.what()}.find(words) != std::string::npos ? 1 : 2;
  }
  return 0;
}

const child_program forks_with_a_static_pool{
    "forks with a static pool", [] {
      static thread_pool_executor pool{2};
      pool.submit([] {}).get();
      const pid_t child = ::fork();
      if (child == 0) std::exit(7);  // destroys the pool, whose threads are not here
      int status = 0;
      ::waitpid(child, &status, 0);
      std::printf("%d %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                  pool.submit([] { return 42; }).get());
      return 0;
    }};

}  // namespace

TEST(fork, in_the_child_submit_throws_and_says_why) {
  thread_pool_executor pool{2};
  pool.submit([] {}).get();

  EXPECT_EQ(in_a_child([&] {
              return throws_that_says<broken_executor>(
                  "forked", [&] { static_cast<void>(pool.submit([] { return 42; })); });
            }),
            1);
}

TEST(fork, in_the_child_post_and_map_and_submit_bulk_throw) {
  thread_pool_executor pool{2};
  pool.submit([] {}).get();
  const std::vector<int> input{1, 2, 3};
  const auto twice = [](int n) { return 2 * n; };

  EXPECT_EQ(in_a_child([&] {
              return throws_that_says<broken_executor>("forked", [&] { pool.post([] {}); }) +
                     throws_that_says<broken_executor>(
                         "forked", [&] { static_cast<void>(pool.map(twice, input)); }) +
                     throws_that_says<broken_executor>(
                         "forked", [&] { static_cast<void>(pool.submit_bulk(twice, input)); });
            }),
            3);
}

TEST(fork, in_the_child_a_pool_is_neither_idle_nor_changes_its_size) {
  thread_pool_executor pool{2};
  pool.submit([] {}).get();

  EXPECT_EQ(in_a_child([&] {
              pool.pause();
              pool.resume();
              return throws_that_says<broken_executor>("forked", [&] { pool.wait_idle(); }) +
                     throws_that_says<broken_executor>("forked", [&] { pool.resize(3); });
            }),
            2);
}

TEST(fork, in_the_child_a_pool_that_was_never_used_throws_too) {
  thread_pool_executor pool{2};

  EXPECT_EQ(in_a_child([&] {
              return throws_that_says<broken_executor>("forked", [&] { pool.post([] {}); });
            }),
            1);
}

TEST(fork, in_the_child_waiting_for_a_call_of_the_parent_throws) {
  const gate here;
  thread_pool_executor pool{1};
  const auto f = pool.submit(&pass, here.handle(), 42);
  here.await_arrivals(1);

  EXPECT_EQ(in_a_child([&] {
              return throws_that_says<broken_executor>("forked", [&] { f.get(); }) +
                     throws_that_says<broken_executor>("forked", [&] { f.wait_for(long_time); }) +
                     throws_that_says<broken_executor>("forked",
                                                       [&] { cadre::wait(std::vector{f}); }) +
                     throws_that_says<broken_executor>("forked", [&] {
                       for (const auto& each : cadre::as_completed(std::vector{f})) each.wait();
                     });
            }),
            4);

  here.open();
  EXPECT_EQ(f.get(), 42);
}

TEST(fork, in_the_child_a_finished_future_can_be_read) {
  thread_pool_executor pool{1};
  const auto f = pool.submit([] { return 42; });
  f.wait();

  EXPECT_EQ(in_a_child([&] { return f.get(); }), 42);
}

TEST(fork, in_the_child_shutdown_returns) {
  const gate here;
  thread_pool_executor pool{1};
  const auto f = pool.submit(&pass, here.handle(), 42);
  here.await_arrivals(1);

  EXPECT_EQ(in_a_child([&] {
              pool.shutdown();
              return 7;
            }),
            7);

  here.open();
  EXPECT_EQ(f.get(), 42);
}

TEST(fork, in_the_child_stats_returns) {
  thread_pool_executor pool{1};
  pool.submit([] {}).get();

  EXPECT_EQ(in_a_child([&] {
              static_cast<void>(pool.stats());
              return 7;
            }),
            7);
}

TEST(fork, in_the_child_the_destructor_does_nothing) {
  const gate here;
  std::optional<thread_pool_executor> pool{1};
  const auto f = pool->submit(&pass, here.handle(), 42);
  here.await_arrivals(1);

  EXPECT_EQ(in_a_child([&] {
              pool.reset();
              return 7;
            }),
            7);

  here.open();
  EXPECT_EQ(f.get(), 42);
}

TEST(fork, in_the_child_the_results_of_a_map_end_at_once) {
  const gate here;
  thread_pool_executor pool{1};
  using results = decltype(pool.map(&pass, std::vector{here.handle()}, std::vector{1}));
  std::optional<results> eager{pool.map(&pass, std::vector{here.handle()}, std::vector{1})};
  here.await_arrivals(1);
  std::optional<results> buffered{
      pool.map({.buffer_size = 1}, &pass, std::vector{here.handle()}, std::vector{1})};

  EXPECT_EQ(in_a_child([&] {
              eager.reset();
              buffered.reset();
              return 7;
            }),
            7);

  here.open();
}

TEST(fork, in_the_child_promises_work) {
  thread_pool_executor pool{1};
  pool.submit([] {}).get();

  EXPECT_EQ(in_a_child([] {
              promise<int> writer;
              int seen = 0;
              writer.get_future().add_done_callback([&](const future<int>& f) { seen = f.get(); });
              writer.set_value(42);
              return seen;
            }),
            42);
}

TEST(fork, the_child_can_have_a_pool_of_its_own) {
  if (under_tsan) GTEST_SKIP() << "ThreadSanitizer allows no threads after a fork with threads";
  thread_pool_executor pool{2};
  pool.submit([] {}).get();

  EXPECT_EQ(in_a_child([] {
              thread_pool_executor own{2};
              return own.submit([&] { return own.submit([] { return 42; }).get(); }).get();
            }),
            42);
}

TEST(fork, the_parent_goes_on) {
  const gate here;
  thread_pool_executor pool{2};
  std::vector<future<int>> all;
  for (int i = 0; i < 10; ++i) all.push_back(pool.submit(&pass, here.handle(), i));

  EXPECT_EQ(in_a_child([] { return 7; }), 7);
  here.open();

  for (int i = 0; i < 10; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)].get(), i);
  EXPECT_EQ(pool.submit([] { return 42; }).get(), 42);
}

// bpo-43944.
TEST(fork, a_call_may_fork) {
  thread_pool_executor pool{1};

  EXPECT_EQ(pool.submit([] { return in_a_child([] { return 7; }); }).get(), 7);
}

TEST(fork, in_a_child_of_a_call_the_pool_throws) {
  thread_pool_executor pool{1};

  EXPECT_EQ(pool.submit([&] {
                  return in_a_child([&] {
                    return throws_that_says<broken_executor>(
                        "forked", [&] { static_cast<void>(pool.submit([] { return 42; }).get()); });
                  });
                })
                .get(),
            1);
}

// bpo-45021: a lock that was held by another thread at the fork stays locked for ever.
TEST(fork, while_all_locks_are_busy_does_not_hang_the_child) {
  if (under_asan || under_tsan) {
    GTEST_SKIP() << "the sanitizers of g++ 12 leave their allocator locked in a fork";
  }
  std::atomic<bool> stop{false};
  thread_pool_executor pool{2};
  std::vector<std::jthread> busy;
  for (int t = 0; t < 2; ++t) {
    busy.emplace_back([&] {
      while (!stop) {
        const auto f = pool.submit([&] { return pool.submit([] { return 1; }).get(); });
        f.then([](int n) { return n; }).wait();
        static_cast<void>(pool.stats());
      }
    });
  }

  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(in_a_child([&] {
                pool.shutdown();
                return throws_that_says<broken_executor>("forked", [&] { pool.post([] {}); });
              }),
              1);
  }

  stop = true;
}

TEST(fork, a_child_that_exits_destroys_a_static_pool_without_hanging) {
  const ended child = forks_with_a_static_pool.run();

  EXPECT_EQ(child.exit_code, 0) << child;
  EXPECT_EQ(child.out, "7 42\n");
}

}  // namespace cadre::test
