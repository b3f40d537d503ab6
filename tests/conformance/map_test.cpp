// SPDX-License-Identifier: MIT
// What map() promises, whichever executor runs the calls. Source: CPython's executor.py and
// test_thread_pool.py.
#include <cadre/executor.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/example_futures.hpp"
#include "conformance/executors.hpp"
#include "conformance/map_calls.hpp"
#include "support/gate.hpp"
#include "support/other_thread.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using std::chrono_literals::operator""s;

template <typename Traits>
class map : public testing::Test {};
TYPED_TEST_SUITE(map, all_executors, executor_names);

template <typename Traits>
class map_in_pools : public testing::Test {};
TYPED_TEST_SUITE(map_in_pools, pools, executor_names);

template <typename Traits>
class map_in_process : public testing::Test {};
TYPED_TEST_SUITE(map_in_process, local_executors, executor_names);

const std::vector<int> squares_to_nine{0, 1, 4, 9, 16, 25, 36, 49, 64, 81};

}  // namespace

TYPED_TEST(map, gives_the_results_in_the_order_of_the_input) {
  const auto executor = TypeParam::make(2);

  EXPECT_EQ(all_of(executor->map(&square, std::views::iota(0, 10))), squares_to_nine);
}

TYPED_TEST(map, gives_the_answers_of_a_predicate) {
  const auto executor = TypeParam::make(2);

  std::vector<bool> even;
  for (const bool answer : executor->map(&is_even, std::views::iota(0, 3))) even.push_back(answer);

  EXPECT_EQ(even, (std::vector{true, false, true}));
}

TYPED_TEST(map, takes_several_ranges_together) {
  const auto executor = TypeParam::make(2);

  EXPECT_EQ(all_of(executor->map(&multiply, std::views::iota(0, 10), std::views::iota(0, 10))),
            squares_to_nine);
}

TYPED_TEST(map, the_shortest_range_ends_it) {
  const auto executor = TypeParam::make(2);

  EXPECT_EQ(all_of(executor->map(&multiply, std::vector{1, 2, 3}, std::vector{4, 5})),
            (std::vector{4, 10}));
}

TYPED_TEST(map, gives_the_same_in_chunks_of_any_size) {
  const auto executor = TypeParam::make(2);

  for (const std::size_t chunk_size : {1U, 3U, 10U, 11U}) {
    EXPECT_EQ(all_of(executor->map({.chunk_size = chunk_size}, &square, std::views::iota(0, 10))),
              squares_to_nine);
  }
}

TYPED_TEST(map, of_nothing_gives_nothing) {
  const auto executor = TypeParam::make(2);

  EXPECT_EQ(all_of(executor->map(&square, std::vector<int>{})), std::vector<int>{});
}

TYPED_TEST(map, an_exception_surfaces_when_its_turn_comes) {
  const auto executor = TypeParam::make(2);

  EXPECT_EQ(all_before<std::domain_error>(
                executor->map(&divide, std::vector{1, 1, 1, 1}, std::vector{2, 3, 0, 5})),
            (std::vector{0, 0}));
}

TYPED_TEST(map, unordered_gives_every_result) {
  const auto executor = TypeParam::make(2);

  std::vector<int> values =
      all_of(executor->map({.chunk_size = 1, .ordered = false}, &square, std::views::iota(0, 10)));

  EXPECT_TRUE(std::ranges::is_permutation(values, squares_to_nine));
}

TYPED_TEST(map_in_pools, unordered_passes_over_a_slow_element) {
  const gate here;
  const auto executor = TypeParam::make(2);

  auto results = executor->map({.chunk_size = 1, .ordered = false},
                               square_but_block{here.handle(), 0}, std::views::iota(0, 4));

  EXPECT_TRUE(std::ranges::is_permutation(first_of(results, 3), std::vector{1, 4, 9}));
  here.open();
}

TYPED_TEST(map_in_pools, a_timeout_throws_when_its_turn_comes) {
  const gate here;
  const auto executor = TypeParam::make(2);
  executor->submit(&multiply, 1, 1).get();  // to start a worker is not to count

  auto results = executor->map({.chunk_size = 1, .timeout = small_time},
                               square_but_block{here.handle(), 2}, std::views::iota(0, 3));

  EXPECT_EQ(all_before<timeout_error>(results), (std::vector{0, 1}));

  here.open();
}

TYPED_TEST(map_in_pools, the_time_runs_from_the_call) {
  const example_futures ready;
  const gate here;
  const auto executor = TypeParam::make(1);
  auto results = executor->map({.timeout = short_time}, square_but_block{here.handle(), 0},
                               std::views::iota(0, 1));
  EXPECT_FALSE(ready.pending.wait_for(short_time));  // the time passes
  bool timed_out = false;
  other_thread reader{[&] {
    try {
      results.begin();
    } catch (const timeout_error&) {
      timed_out = true;
    }
  }};

  reader.await_asleep();  // which it does only if its time runs from here
  here.open();
  reader.join();

  EXPECT_TRUE(timed_out);
}

TYPED_TEST(map, begins_all_work_without_being_iterated) {
  const gate here;
  const auto executor = TypeParam::make(2);

  const auto results = executor->map(arrive_at{here.handle()}, std::views::iota(0, 10));
  executor->shutdown();

  EXPECT_EQ(here.arrivals(), 10U);
}

// bpo-12456: CPython blocked here.
TYPED_TEST(map, shutdown_right_after_it_returns) {
  const auto executor = TypeParam::make(2);

  const auto results = executor->map(&square, std::vector(3, 2));
  executor->shutdown();
}

// --- caller_runs ---

TEST(map_with_caller_runs, the_loop_runs_what_no_worker_begins) {
  const gate here;
  thread_pool_executor pool{1};
  const auto running = pool.submit(&pass, here.handle(), 0);
  here.await_arrivals(1);
  const auto my_square = [me = std::this_thread::get_id()](int n) {
    return std::this_thread::get_id() == me ? square(n) : -1;
  };

  EXPECT_EQ(all_of(pool.map({.caller_runs = true}, my_square, std::views::iota(0, 10))),
            squares_to_nine);

  here.open();
}

TEST(map_with_caller_runs, workers_run_elements_before_it_is_iterated) {
  const gate here;
  thread_pool_executor pool{2};

  const auto results =
      pool.map({.caller_runs = true}, arrive_at{here.handle()}, std::views::iota(0, 10));
  pool.shutdown();

  EXPECT_EQ(here.arrivals(), 10U);
}

TEST(map_with_caller_runs, calls_one_worker_fewer_in) {
  const gate here;
  thread_pool_executor pool{2};

  const auto results = pool.map({.chunk_size = 1, .caller_runs = true},
                                square_but_block{here.handle(), 0}, std::vector{0, 0});
  here.await_arrivals(1);

  EXPECT_TRUE(pool.submit(&square, 2).wait_for(medium_time)) << "one worker is free";

  here.open();
}

TEST(map_with_caller_runs, the_loop_begins_no_element_when_the_time_is_over) {
  const gate here;
  const gate second;
  thread_pool_executor pool{1};
  const auto running = pool.submit(&pass, here.handle(), 0);
  here.await_arrivals(1);

  auto results = pool.map({.timeout = 0s, .caller_runs = true}, arrive_at{second.handle()},
                          std::views::iota(0, 10));
  EXPECT_THROW(results.begin(), timeout_error);
  here.open();
  pool.shutdown();

  EXPECT_EQ(second.arrivals(), 0U);
}

TYPED_TEST(map_in_process, gives_the_same_when_the_caller_runs_some) {
  const auto executor = TypeParam::make(2);

  EXPECT_EQ(all_of(executor->map({.caller_runs = true}, &square, std::views::iota(0, 10))),
            squares_to_nine);
  auto unordered = all_of(
      executor->map({.ordered = false, .caller_runs = true}, &square, std::views::iota(0, 10)));
  std::ranges::sort(unordered);
  EXPECT_EQ(unordered, squares_to_nine);
}

TYPED_TEST(map_in_process, an_exception_surfaces_in_its_turn_when_the_caller_runs_some) {
  const auto executor = TypeParam::make(2);
  const auto fail_at_three = [](int n) {
    return n == 3 ? throw std::runtime_error{"three"} : square(n);
  };

  EXPECT_EQ(all_before<std::runtime_error>(
                executor->map({.caller_runs = true}, fail_at_three, std::views::iota(0, 10))),
            (std::vector{0, 1, 4}));
}

TYPED_TEST(map, refuses_a_buffer_with_caller_runs) {
  const auto executor = TypeParam::make(2);

  EXPECT_THROW(static_cast<void>(executor->map({.buffer_size = 2, .caller_runs = true}, &square,
                                               std::views::iota(0, 10))),
               std::invalid_argument);
}

// --- buffer_size ---

TYPED_TEST(map, a_buffer_size_of_zero_is_refused) {
  const auto executor = TypeParam::make(2);

  EXPECT_THROW(
      static_cast<void>(executor->map({.buffer_size = 0}, &square, std::views::iota(0, 10))),
      std::invalid_argument);
}

TYPED_TEST(map, gives_the_same_with_any_buffer_size) {
  const auto executor = TypeParam::make(2);

  for (const std::size_t buffer_size : {1U, 2U, 10U, 11U, 20U}) {
    EXPECT_EQ(all_of(executor->map({.buffer_size = buffer_size}, &square, std::views::iota(0, 10))),
              squares_to_nine);
  }
}

TYPED_TEST(map, buffers_several_ranges) {
  const auto executor = TypeParam::make(2);

  for (const std::size_t buffer_size : {1U, 2U, 10U, 11U, 20U}) {
    EXPECT_EQ(all_of(executor->map({.buffer_size = buffer_size}, &multiply, std::views::iota(0, 10),
                                   std::views::iota(0, 10))),
              squares_to_nine);
  }
}

TYPED_TEST(map, buffers_an_endless_range) {
  const auto executor = TypeParam::make(2);

  EXPECT_EQ(first_of(executor->map({.buffer_size = 2}, &square, std::views::iota(0)), 10),
            squares_to_nine);
}

TYPED_TEST(map, buffers_several_endless_ranges) {
  const auto executor = TypeParam::make(2);

  EXPECT_EQ(first_of(executor->map({.buffer_size = 2}, &multiply, std::views::iota(0),
                                   std::views::iota(0)),
                     10),
            squares_to_nine);
}

TYPED_TEST(map, buffers_an_empty_range) {
  const auto executor = TypeParam::make(2);

  EXPECT_EQ(all_of(executor->map({.buffer_size = 2}, &square, std::vector<int>{})),
            std::vector<int>{});
}

TYPED_TEST(map, takes_no_more_input_than_fits_the_buffer) {
  const auto executor = TypeParam::make(2);
  int taken = 0;
  const auto counted =
      std::views::iota(0) | std::views::transform([&taken](int n) { return ++taken, n; });

  const auto results = executor->map({.buffer_size = 4}, &square, counted);
  executor->shutdown();

  EXPECT_EQ(taken, 4);
}

// CPython has one more in flight while a result is asked for (gh-131466).
TYPED_TEST(map_in_pools, never_has_more_than_the_buffer_in_flight) {
  const gate here;
  const auto executor = TypeParam::make(8);
  auto results = executor->map({.buffer_size = 4}, square_but_block{here.handle(), 0},
                               std::views::iota(0, 100));
  const auto counts = [&] { return executor->stats().submitted; };
  here.await_arrivals(1);

  EXPECT_LE(counts(), 4U);
  here.open();
  std::size_t yielded = 0;
  for (const int value : results) {
    static_cast<void>(value);
    ++yielded;
    EXPECT_LE(counts(), yielded + 4);
  }

  EXPECT_EQ(yielded, 100U);
}

TYPED_TEST(map, with_a_buffer_an_exception_surfaces_when_its_turn_comes) {
  const auto executor = TypeParam::make(2);

  EXPECT_EQ(all_before<std::domain_error>(executor->map(
                {.buffer_size = 2}, &divide, std::vector{1, 1, 1, 1}, std::vector{2, 3, 0, 5})),
            (std::vector{0, 0}));
}

TYPED_TEST(map, with_a_buffer_unordered_gives_every_result) {
  const auto executor = TypeParam::make(2);

  std::vector<int> values =
      all_of(executor->map({.buffer_size = 3, .ordered = false}, &square, std::views::iota(0, 10)));

  EXPECT_TRUE(std::ranges::is_permutation(values, squares_to_nine));
}

// --- what lives how long ---

TYPED_TEST(map_in_process, keeps_no_reference_to_a_result_after_its_turn) {
  const auto executor = TypeParam::make(2);
  auto results =
      executor->map([](int n) { return std::make_shared<int>(n); }, std::views::iota(0, 10));

  std::weak_ptr<int> previous;
  for (auto& value : results) {
    EXPECT_TRUE(previous.expired());
    previous = value;
  }
  EXPECT_TRUE(previous.expired());
}

TYPED_TEST(map_in_process, results_can_be_moved_out) {
  const auto executor = TypeParam::make(2);

  std::vector<int> values;
  for (auto& p :
       executor->map([](int n) { return std::make_unique<int>(n); }, std::views::iota(0, 3))) {
    values.push_back(*std::unique_ptr<int>{std::move(p)});
  }

  EXPECT_EQ(values, (std::vector{0, 1, 2}));
}

TYPED_TEST(map_in_process, elements_of_an_rvalue_are_moved_to_the_callable) {
  const auto executor = TypeParam::make(2);
  std::vector<std::unique_ptr<int>> input;
  for (int n = 0; n < 3; ++n) input.push_back(std::make_unique<int>(n));

  EXPECT_EQ(all_of(executor->map([](std::unique_ptr<int> p) { return *p; }, std::move(input))),
            (std::vector{0, 1, 2}));
}

}  // namespace cadre::test
