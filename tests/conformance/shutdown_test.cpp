// SPDX-License-Identifier: MIT
// How executors end, and programs with them. Source: CPython's test_shutdown.py.
#include <cadre/errors.hpp>
#include <cadre/executor.hpp>
#include <cadre/process_pool_executor.hpp>
#include <cadre/wait.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/example_futures.hpp"
#include "conformance/executors.hpp"
#include "support/gate.hpp"
#include "support/other_thread.hpp"
#include "support/process.hpp"
#include "support/sanitizers.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

template <typename Traits>
class shutdown : public testing::Test {};
TYPED_TEST_SUITE(shutdown, all_executors, executor_names);

template <typename Traits>
class shutdown_of_pools : public testing::Test {};
TYPED_TEST_SUITE(shutdown_of_pools, pools, executor_names);

int absolute(int n) { return std::abs(n); }

template <typename Results>
std::vector<int> all_of(Results& results) {
  std::vector<int> values;
  for (const int value : results) values.push_back(value);
  return values;
}

int pass_and_print(gate_handle at) {
  pass(at, 0);
  return std::puts("apple");
}

/// Opens its gate when static objects are destroyed: after the end of main.
struct opens_at_exit {
  ~opens_at_exit() { here->open(); }
  const gate* here;
};

// --- programs ---

template <typename Traits>
int exits_with_a_call_running() {
  static const gate here;
  static const auto executor = Traits::make(5);
  static const opens_at_exit opener{&here};
  static_cast<void>(executor->submit(&pass_and_print, here.handle()));
  here.await_arrivals(1);
  return 0;
}

template <typename Traits>
int exits_after_shutdown_without_wait() {
  static const gate here;
  static const auto executor = Traits::make(3);
  static const opens_at_exit opener{&here};
  static_cast<void>(executor->submit(&pass_and_print, here.handle()));
  here.await_arrivals(1);
  executor->shutdown({.wait = false});
  return 0;
}

template <typename Traits>
int exits_after_cancelling() {
  static const gate here;
  static const auto executor = Traits::make(1);
  static const opens_at_exit opener{&here};
  static_cast<void>(executor->submit(&pass_and_print, here.handle()));
  static_cast<void>(executor->submit(&pass_and_print, here.handle()));
  here.await_arrivals(1);
  executor->shutdown({.wait = false, .cancel_pending = true});
  return 0;
}

// A pool that outlives the static objects; its owner shuts it down at exit, and then somebody else
// wants to submit.
template <typename Traits>
int submits_at_exit_after_shutdown() {
  static auto* const executor = Traits::make(5).release();
  std::atexit([] {
    try {
      static_cast<void>(executor->submit(&absolute, -1));
    } catch (const shutdown_error& e) {
      std::puts(e.what());
    }
  });
  std::atexit([] { executor->shutdown(); });
  static_cast<void>(executor->submit(&absolute, -1));
  return 0;
}

template <typename Traits>
struct program {
  static inline const std::string name = Traits::name;
  static inline const child_program with_a_call_running{name + " exits with a call running",
                                                        &exits_with_a_call_running<Traits>};
  static inline const child_program after_shutdown_without_wait{
      name + " exits after shutdown without wait", &exits_after_shutdown_without_wait<Traits>};
  static inline const child_program after_cancelling{name + " exits after cancelling",
                                                     &exits_after_cancelling<Traits>};
  static inline const child_program submitting_at_exit{name + " submits at exit after shutdown",
                                                       &submits_at_exit_after_shutdown<Traits>};
};

}  // namespace

TYPED_TEST(shutdown, later_calls_are_refused) {
  const auto executor = TypeParam::make(2);

  executor->shutdown();

  EXPECT_THROW(static_cast<void>(executor->submit(&multiply, 2, 5)), shutdown_error);
}

TYPED_TEST(shutdown, is_idempotent) {
  const auto executor = TypeParam::make(2);
  static_cast<void>(executor->submit(&multiply, 2, 5));

  EXPECT_TRUE(executor->shutdown().complete);
  EXPECT_TRUE(executor->shutdown().complete);
}

TYPED_TEST(shutdown, of_an_executor_that_was_never_used_returns) {
  const auto executor = TypeParam::make(2);

  EXPECT_TRUE(executor->shutdown().complete);
}

TYPED_TEST(shutdown, waits_for_all_queued_calls) {
  const gate here;
  const auto executor = TypeParam::make(5);
  futures all;
  for (int i = 0; i < 50; ++i) all.push_back(executor->submit(&arrive, here.handle(), i));

  executor->shutdown();

  EXPECT_EQ(here.arrivals(), 50U);
  EXPECT_TRUE(std::ranges::all_of(all, &future<int>::done));
}

TYPED_TEST(shutdown_of_pools, blocks_until_the_running_call_is_done) {
  const gate here;
  const auto executor = TypeParam::make(1);
  const auto f = executor->submit(&pass, here.handle(), 42);
  bool done = false;
  other_thread closer{[&] {
    executor->shutdown();
    done = f.done();
  }};

  closer.await_asleep();
  here.open();
  closer.join();

  EXPECT_TRUE(done);
}

TYPED_TEST(shutdown_of_pools, cancel_pending_cancels_what_has_not_begun) {
  const gate here;
  const auto executor = TypeParam::make(2);
  futures all;
  for (int i = 0; i < 50; ++i) all.push_back(executor->submit(&pass, here.handle(), i));
  here.await_arrivals(2);
  other_thread closer{[&] { executor->shutdown({.cancel_pending = true}); }};

  closer.await_asleep();
  here.open();
  closer.join();

  EXPECT_EQ(std::ranges::count_if(all, &future<int>::cancelled), 48);
  EXPECT_TRUE(std::ranges::all_of(all, &future<int>::done));
  EXPECT_EQ(here.arrivals(), 2U);
}

// CPython hangs in wait() here (gh-87893).
TYPED_TEST(shutdown_of_pools, cancel_pending_wakes_whoever_waits) {
  const gate here;
  const auto executor = TypeParam::make(1);
  const auto running = executor->submit(&pass, here.handle(), 0);
  const auto queued = executor->submit(&multiply, 2, 21);
  here.await_arrivals(1);
  futures done;
  other_thread waiter{[&] { done = cadre::wait(futures{queued}).done; }};

  waiter.await_asleep();
  executor->shutdown({.wait = false, .cancel_pending = true});
  waiter.join();

  EXPECT_EQ(done, futures{queued});
  here.open();
}

TYPED_TEST(shutdown_of_pools, without_wait_returns_at_once) {
  const gate here;
  const auto executor = TypeParam::make(1);
  const auto f = executor->submit(&pass, here.handle(), 42);

  executor->shutdown({.wait = false});

  EXPECT_FALSE(f.done());
  here.open();
}

TYPED_TEST(shutdown_of_pools, without_wait_the_queued_calls_still_run) {
  const gate here;
  const auto executor = TypeParam::make(1);
  const auto running = executor->submit(&pass, here.handle(), 0);
  const auto queued = executor->submit(&multiply, 2, 21);

  executor->shutdown({.wait = false});
  here.open();

  EXPECT_EQ(queued.get(), 42);
}

// gh-94440: CPython's process pool hung.
TYPED_TEST(shutdown_of_pools, does_not_hang_on_a_call_cancelled_just_before) {
  constexpr int rounds = under_asan || under_tsan ? 25 : 100;
  for (int i = 0; i < rounds; ++i) {
    const auto executor = TypeParam::make(1);
    executor->submit(&multiply, 2, 21).get();

    executor->submit(&multiply, 2, 21).cancel();
    executor->shutdown();
  }
}

TYPED_TEST(shutdown_of_pools, ends_the_workers) {
  const gate here;
  const auto executor = TypeParam::make(3);
  for (int i = 0; i < 3; ++i) static_cast<void>(executor->submit(&pass, here.handle(), 0));
  here.await_arrivals(3);
  EXPECT_EQ(executor->stats().workers, 3U);

  here.open();
  executor->shutdown();

  EXPECT_EQ(executor->stats().workers, 0U);
}

// Python's `with` statement.
TYPED_TEST(shutdown, the_end_of_the_scope_waits_for_the_calls) {
  futures all;
  {
    const auto executor = TypeParam::make(5);
    for (int n = -5; n < 5; ++n) all.push_back(executor->submit(&absolute, n));
  }

  std::vector<int> results;
  for (const auto& f : all) {
    EXPECT_TRUE(f.done());
    results.push_back(f.get());
  }
  EXPECT_EQ(results, (std::vector{5, 4, 3, 2, 1, 0, 1, 2, 3, 4}));
}

TYPED_TEST(shutdown, results_of_map_outlive_the_executor) {
  auto executor = TypeParam::make(5);
  auto results = executor->map(&absolute, std::views::iota(-5, 5));

  executor.reset();

  EXPECT_EQ(all_of(results), (std::vector{5, 4, 3, 2, 1, 0, 1, 2, 3, 4}));
}

TYPED_TEST(shutdown, results_of_map_come_after_shutdown_without_wait) {
  const auto executor = TypeParam::make(5);
  auto results = executor->map(&absolute, std::views::iota(-5, 5));

  executor->shutdown({.wait = false});

  EXPECT_EQ(all_of(results), (std::vector{5, 4, 3, 2, 1, 0, 1, 2, 3, 4}));
}

TYPED_TEST(shutdown_of_pools, at_exit_a_running_call_is_finished) {
  const ended child = program<TypeParam>::with_a_call_running.run();

  EXPECT_EQ(child.exit_code, 0) << child;
  EXPECT_EQ(child.out, "apple\n");
  EXPECT_EQ(child.err, "");
}

TYPED_TEST(shutdown_of_pools, at_exit_after_shutdown_without_wait_a_running_call_is_finished) {
  const ended child = program<TypeParam>::after_shutdown_without_wait.run();

  EXPECT_EQ(child.exit_code, 0) << child;
  EXPECT_EQ(child.out, "apple\n");
  EXPECT_EQ(child.err, "");
}

TYPED_TEST(shutdown_of_pools, at_exit_after_cancelling_only_the_running_call_is_finished) {
  const ended child = program<TypeParam>::after_cancelling.run();

  EXPECT_EQ(child.exit_code, 0) << child;
  EXPECT_EQ(child.out, "apple\n");
  EXPECT_EQ(child.err, "");
}

TYPED_TEST(shutdown_of_pools, calls_submitted_at_exit_after_it_are_refused) {
  const ended child = program<TypeParam>::submitting_at_exit.run();

  EXPECT_EQ(child.exit_code, 0) << child;
  EXPECT_NE(child.out.find("after shutdown"), std::string::npos) << child;
  EXPECT_EQ(child.err, "");
}

TEST(shutdown_of_processes, with_a_deadline_ends_what_does_not_end) {
  const gate here;
  std::optional<process_pool_executor> pool{std::in_place, 1};
  const auto endless = pool->submit(
      {.name = "endless", .grace = std::chrono::milliseconds{1}},
      [](gate_handle at) {
        arrive(at, 0);
        for (;;) std::this_thread::yield();
      },
      here.handle());
  here.await_arrivals(1);

  pool->shutdown({.deadline = std::chrono::seconds{0}, .grace = std::chrono::seconds{0}});
  pool.reset();  // returns

  EXPECT_THROW(endless.get(), worker_died);
}

}  // namespace cadre::test
