// SPDX-License-Identifier: MIT
// Waiting for the first of several, for completions in their order, for a limited time: what no peer
// has as a blocking call (libcoro #153, cppcoro #11, stlab #275, YACLib #28).
#include <cadre/promise.hpp>
#include <cadre/thread_pool_executor.hpp>
#include <cadre/wait.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/gate.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using std::chrono_literals::operator""s;

}  // namespace

TEST(waiting, when_any_leaves_the_others_alone) {
  const gate here;
  thread_pool_executor pool{2};
  const std::vector both{pool.submit(&pass, here.handle(), 1), pool.submit([] { return 2; })};

  EXPECT_EQ(when_any(both).get().index, 1U);

  EXPECT_FALSE(both[0].done());
  here.open();
}

// stdexec #7: what is the first to be done if it was cancelled?
TEST(waiting, when_any_counts_a_cancelled_future_as_done) {
  const gate here;
  thread_pool_executor pool{1};
  const std::vector both{pool.submit(&pass, here.handle(), 1), pool.submit([] { return 2; })};
  const auto first = when_any(both);

  both[1].cancel();

  EXPECT_EQ(first.get().index, 1U);
  here.open();
}

TEST(waiting, when_any_of_futures_done_already_is_done) {
  promise<int> writer;
  writer.set_value(42);

  EXPECT_TRUE(when_any(std::vector{writer.get_future()}).done());
}

TEST(waiting, when_any_leaves_nothing_in_a_future_that_is_never_done) {
  promise<int> never;
  const auto undone = never.get_future();
  const auto value = std::make_shared<int>(42);
  for (const bool before : {false, true}) {
    promise<std::shared_ptr<int>> writer;
    if (before) writer.set_value(value);

    const auto first = when_any(undone, writer.get_future());
    if (!before) writer.set_value(value);

    EXPECT_EQ(first.get().index, 1U);
  }

  EXPECT_EQ(value.use_count(), 1) << "the future that is not done keeps what it was in";
  never.set_value(1);
}

TEST(waiting, when_any_of_futures_that_become_done_meanwhile_is_done_once) {
  thread_pool_executor pool{2};
  const auto value = std::make_shared<int>(42);
  for (int i = 0; i < 200; ++i) {
    std::vector<promise<std::shared_ptr<int>>> writers(2);
    std::vector<future<std::shared_ptr<int>>> all;
    for (auto& w : writers) all.push_back(w.get_future());
    std::vector<future<void>> calls;
    for (auto& w : writers) calls.push_back(pool.submit([&w, value] { w.set_value(value); }));

    const auto first = when_any(std::move(all));

    EXPECT_LT(first.get().index, 2U);
    for (const auto& call : calls) call.get();
  }
  pool.shutdown();

  EXPECT_EQ(value.use_count(), 1);
}

TEST(waiting, when_all_waits_for_failed_and_cancelled_ones_too) {
  const gate here;
  thread_pool_executor pool{1};
  const std::vector all{pool.submit([]() -> int { throw 42; }),
                        pool.submit(&pass, here.handle(), 1), pool.submit([] { return 2; })};
  const auto gathered = when_all(all);
  here.await_arrivals(1);

  all[2].cancel();
  EXPECT_FALSE(gathered.done());
  here.open();

  EXPECT_EQ(gathered.get(), all);
  EXPECT_THROW(all[0].get(), int);
}

TEST(waiting, when_all_takes_futures_of_different_types) {
  thread_pool_executor pool{2};

  const auto [number, text] = when_all(pool.submit([] { return 42; }), pool.submit([] {
                                return std::string{"answer"};
                              })).get();

  EXPECT_EQ(number.get(), 42);
  EXPECT_EQ(text.get(), "answer");
}

// bpo-14406, F51.
TEST(waiting, a_wait_that_begins_while_its_futures_complete_returns) {
  thread_pool_executor pool{2};
  for (int i = 0; i < 500; ++i) {
    std::vector<future<int>> all;
    for (int n = 0; n < 10; ++n) all.push_back(pool.submit([n] { return n; }));

    ASSERT_EQ(cadre::wait(all).done, all);
  }
}

TEST(waiting, many_threads_may_wait_for_the_same_futures) {
  const gate here;
  thread_pool_executor pool{2};
  const std::vector all{pool.submit(&pass, here.handle(), 1), pool.submit(&pass, here.handle(), 2)};
  std::atomic<int> woken{0};
  {
    std::vector<std::jthread> waiters;
    for (int t = 0; t < 4; ++t) {
      waiters.emplace_back([&] {
        cadre::wait(all);
        for (const auto& f : cadre::as_completed(all)) f.wait();
        all[0].wait();
        ++woken;
      });
    }
    here.open();
  }

  EXPECT_EQ(woken, 4);
}

// A waiter that gave up is told nothing later: tensorflow #932 left stale waiters on its list.
TEST(waiting, that_timed_out_is_not_disturbed_by_the_completion) {
  for (int i = 0; i < 200; ++i) {
    promise<int> writer;
    std::jthread completer;
    {
      const std::vector one{writer.get_future()};
      completer = std::jthread{[&] { writer.set_value(42); }};
      cadre::wait(one, {.timeout = std::chrono::nanoseconds{1}});
      static_cast<void>(one[0].wait_for(std::chrono::nanoseconds{1}));
      auto range = cadre::as_completed(one, std::chrono::nanoseconds{1});
    }
  }
}

TEST(waiting, as_completed_takes_futures_added_while_others_complete) {
  thread_pool_executor pool{2};
  auto range = cadre::as_completed(std::vector{pool.submit([] { return 0; })});
  int reported = 0;

  for (const auto& f : range) {
    ++reported;
    if (f.get() < 1000) range.add(pool.submit([n = f.get()] { return n + 1; }));
  }

  EXPECT_EQ(reported, 1001);
}

TEST(waiting, as_completed_of_many_futures_reports_each_once) {
  constexpr std::size_t count = 10'000;
  thread_pool_executor pool{2};
  std::vector<future<std::size_t>> all;
  for (std::size_t i = 0; i < count; ++i) all.push_back(pool.submit([i] { return i; }));

  std::vector<int> reported(count);
  for (const auto& f : cadre::as_completed(std::move(all))) ++reported[f.get()];

  EXPECT_EQ(reported, std::vector<int>(count, 1));
}

TEST(waiting, for_a_year_or_for_ever_does_not_overflow) {
  thread_pool_executor pool{1};
  const auto f = pool.submit([] { return 42; });

  EXPECT_TRUE(f.wait_for(std::chrono::years{1000}));
  EXPECT_TRUE(f.wait_for(std::chrono::nanoseconds::max()));
  EXPECT_TRUE(f.wait_until(std::chrono::system_clock::now() + std::chrono::years{100}));
  EXPECT_EQ(cadre::wait(std::vector{f}, {.timeout = std::chrono::nanoseconds::max()}).done.size(),
            1U);
}

TEST(waiting, until_a_point_in_the_past_only_looks) {
  promise<int> writer;

  EXPECT_FALSE(writer.get_future().wait_until(std::chrono::system_clock::now() - 1s));
  EXPECT_FALSE(writer.get_future().wait_until(std::chrono::steady_clock::time_point::min()));

  writer.set_value(0);
}

}  // namespace cadre::test
