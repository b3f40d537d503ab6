// SPDX-License-Identifier: MIT
// What becomes of the elements of a map when its results end, or are left.
#include <cadre/executor.hpp>

#include <gtest/gtest.h>

#include <array>
#include <ranges>
#include <stdexcept>
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
class map_end : public testing::Test {};
TYPED_TEST_SUITE(map_end, all_executors, executor_names);

template <typename Traits>
class map_end_in_pools : public testing::Test {};
TYPED_TEST_SUITE(map_end_in_pools, pools, executor_names);

/// Blocks at the first gate, and tells at the second that it is past it.
struct pass_and_arrive {
  gate_handle blocked;
  gate_handle past;
  int operator()(int n) const {
    pass(blocked, n);
    return arrive(past, n);
  }
};

/// An executor whose one worker is busy to the end, and a gate for calls that run all the same.
template <typename Traits>
struct busy_worker {
  busy_worker() { door.await_arrivals(1); }
  unsigned arrivals_at_the_end() {
    door.open();
    executor->shutdown();
    return reached.arrivals();
  }

  const gate door;
  const gate reached;
  const decltype(Traits::make(1)) executor = Traits::make(1);
  const future<int> running = executor->submit(&pass, door.handle(), 0);
};

// With a buffer and without, the work is done in different ways.
const std::array both_ways{map_options{.chunk_size = 1},
                           map_options{.chunk_size = 1, .buffer_size = 2}};

}  // namespace

TYPED_TEST(map_end_in_pools, a_timeout_cancels_the_awaited_and_the_later_elements) {
  busy_worker<TypeParam> busy;
  {
    auto results = busy.executor->map({.chunk_size = 1, .timeout = 0s},
                                      arrive_at{busy.reached.handle()}, std::vector{2, 3});
    EXPECT_THROW(results.begin(), timeout_error);
  }

  EXPECT_EQ(busy.arrivals_at_the_end(), 0U);
}

TYPED_TEST(map_end_in_pools, dropping_the_results_cancels_what_has_not_begun) {
  busy_worker<TypeParam> busy;

  {
    const auto results =
        busy.executor->map(arrive_at{busy.reached.handle()}, std::views::iota(0, 10));
  }
  EXPECT_EQ(busy.arrivals_at_the_end(), 0U);
}

TYPED_TEST(map_end_in_pools, with_a_buffer_a_timeout_cancels_the_rest) {
  busy_worker<TypeParam> busy;
  {
    auto results = busy.executor->map({.buffer_size = 2, .timeout = 0s},
                                      arrive_at{busy.reached.handle()}, std::views::iota(0));
    EXPECT_THROW(results.begin(), timeout_error);
  }

  EXPECT_EQ(busy.arrivals_at_the_end(), 0U);
}

TYPED_TEST(map_end_in_pools, the_end_of_the_results_waits_for_what_runs) {
  const auto executor = TypeParam::make(2);
  for (const map_options& options : both_ways) {
    const gate blocked;
    const gate past;
    other_thread leaver{[&] {
      const auto results = executor->map(options, pass_and_arrive{blocked.handle(), past.handle()},
                                         std::views::iota(0, 10));
      blocked.await_arrivals(2);
    }};

    blocked.await_arrivals(2);
    leaver.await_asleep();
    EXPECT_EQ(past.arrivals(), 0U);
    blocked.open();
    leaver.join();

    EXPECT_EQ(past.arrivals(), 2U);
  }
}

TYPED_TEST(map_end_in_pools, a_loop_left_by_an_exception_waits_for_what_runs) {
  const auto executor = TypeParam::make(2);
  for (map_options options : both_ways) {
    options.ordered = false;
    const gate blocked;
    const gate past;
    const auto leave = [&] {
      for ([[maybe_unused]] const int value : executor->map(
               options, pass_and_arrive{blocked.handle(), past.handle()}, std::views::iota(0, 2))) {
        blocked.open();
        throw std::domain_error{"left"};
      }
    };
    blocked.admit(1);

    EXPECT_THROW(leave(), std::domain_error);

    EXPECT_EQ(past.arrivals(), blocked.arrivals());
  }
}

TYPED_TEST(map_end_in_pools, what_runs_outlives_results_that_are_detached) {
  const auto executor = TypeParam::make(1);
  for (map_options options : both_ways) {
    for (const bool as_option : {false, true}) {
      options.detach = as_option;
      const gate blocked;
      const gate past;
      {
        auto results = executor->map(options, pass_and_arrive{blocked.handle(), past.handle()},
                                     std::views::iota(0, 10));
        if (!as_option) results.detach();
        blocked.await_arrivals(1);
      }
      EXPECT_EQ(past.arrivals(), 0U);
      blocked.open();
      past.await_arrivals(1);
    }
  }
}

TYPED_TEST(map_end, wait_ends_when_all_elements_are_done) {
  const auto executor = TypeParam::make(2);
  for (const map_options& options : both_ways) {
    const gate here;

    executor->map(options, arrive_at{here.handle()}, std::views::iota(0, 10)).wait();

    EXPECT_EQ(here.arrivals(), 10U);
  }
}

TYPED_TEST(map_end, wait_throws_what_an_element_throws) {
  const auto executor = TypeParam::make(2);
  for (const map_options& options : both_ways) {
    EXPECT_THROW(executor->map(options, &divide, std::vector{1, 1, 1}, std::vector{1, 0, 1}).wait(),
                 std::domain_error);
  }
}

TYPED_TEST(map_end, gives_nothing_more_after_an_exception) {
  for (const map_options& options : both_ways) {
    const auto executor = TypeParam::make(2);
    auto results = executor->map(options, &divide, std::vector{1, 0, 1}, std::vector{1, 0, 1});
    if (!options.buffer_size) executor->shutdown();  // then the last element is done, too
    EXPECT_EQ(all_before<std::domain_error>(results).size(), 1U);

    EXPECT_TRUE(results.begin() == results.end());
  }
}

}  // namespace cadre::test
