// SPDX-License-Identifier: MIT
// executor::for_each: a loop without results.
#include <cadre/bind.hpp>
#include <cadre/executor.hpp>
#include <cadre/process_pool_executor.hpp>
#include <cadre/this_worker.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <latch>
#include <limits>
#include <list>
#include <memory>
#include <set>
#include <span>
#include <sstream>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "conformance/executors.hpp"
#include "conformance/map_calls.hpp"
#include "support/gate.hpp"
#include "support/says.hpp"
#include "support/timeouts.hpp"
#include "support/unhandled_log.hpp"
#include "support/work_for.hpp"

namespace cadre::test {
namespace {

using namespace std::chrono_literals;

template <typename Traits>
class for_each : public testing::Test {};
TYPED_TEST_SUITE(for_each, all_executors, executor_names);

template <typename Traits>
class for_each_in_pools : public testing::Test {};
TYPED_TEST_SUITE(for_each_in_pools, pools, executor_names);

template <typename Traits>
class for_each_here : public testing::Test {};
TYPED_TEST_SUITE(for_each_here, local_executors, executor_names);

/// Arrives as often as the number says.
struct arrive_so_often {
  gate_handle here;
  void operator()(int n) const {
    for (int i = 0; i < n; ++i) arrive(here, n);
  }
};

struct arrive_or_throw {
  gate_handle here;
  int bad;
  void operator()(int n) const {
    if (n == bad) throw std::runtime_error{"no " + std::to_string(n)};
    arrive(here, n);
  }
};

const for_each_options no_time{.chunk_size = 1, .timeout = short_time, .caller_runs = false};

/// Opens the gate when that time is over.
class late_opening : public std::jthread {
 public:
  explicit late_opening(const gate& here)
      : std::jthread{[&here] {
          work_for(short_time * 3);
          here.open();
        }} {}
};

}  // namespace

TYPED_TEST(for_each, calls_the_callable_with_each_number_below_the_count) {
  const gate here;
  const auto executor = TypeParam::make(2);

  executor->for_each(40, arrive_so_often{here.handle()});

  EXPECT_EQ(here.arrivals(), 40U * 39U / 2U);
}

TYPED_TEST(for_each, calls_the_callable_with_each_element) {
  const gate here;
  const auto executor = TypeParam::make(2);
  const std::list<int> listed{1, 2, 3};

  executor->for_each(std::vector{10, 20}, arrive_so_often{here.handle()});
  EXPECT_EQ(here.arrivals(), 30U);
  executor->for_each({.chunk_size = 2}, listed, arrive_so_often{here.handle()});
  EXPECT_EQ(here.arrivals(), 36U);
}

TYPED_TEST(for_each, of_nothing_is_over_at_once) {
  const gate here;
  const auto executor = TypeParam::make(1);

  executor->for_each(0, arrive_so_often{here.handle()});
  executor->for_each(std::vector<int>{}, arrive_so_often{here.handle()});

  EXPECT_EQ(here.arrivals(), 0U);
}

TYPED_TEST(for_each, throws_what_an_element_throws_and_begins_no_more) {
  const gate here;
  const auto executor = TypeParam::make(1);

  try {
    executor->for_each({.chunk_size = 1, .caller_runs = false}, 1000,
                       arrive_or_throw{here.handle(), 3});
    FAIL() << "nothing was thrown";
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "no 3");
  }

  // In other processes those that were on their way may have begun.
  const unsigned at_the_end = here.arrivals();
  executor->shutdown();
  EXPECT_EQ(here.arrivals(), at_the_end);
}

TYPED_TEST(for_each, runs_nothing_if_it_is_to_stop_already) {
  const gate here;
  const auto executor = TypeParam::make(2);
  std::stop_source stop;
  stop.request_stop();

  EXPECT_THROW(executor->for_each({.call = {.stop_token = stop.get_token()}}, 100,
                                  arrive_so_often{here.handle()}),
               cancelled_error);

  EXPECT_EQ(here.arrivals(), 0U);
}

TYPED_TEST(for_each, refuses_a_negative_count_and_no_callable) {
  const auto executor = TypeParam::make(1);
  void (*const none)(int) = nullptr;

  EXPECT_THROW(executor->for_each(-1, arrive_so_often{}), std::invalid_argument);
  EXPECT_THROW(executor->for_each(10, none), std::invalid_argument);
}

TYPED_TEST(for_each, takes_a_callable_of_references) {
  const auto executor = TypeParam::make(1);
  std::vector<int> numbers{1, 2, 3};
  std::list<int> listed{1, 2, 3};
  cadre::executor& any = *executor;

  executor->for_each(numbers, [](int& n) { ++n; });
  any.for_each(numbers, [](int& n) { ++n; });
  any.for_each(listed, [](int& n) { ++n; });
  any.for_each(std::move(numbers), [](int& n) { ++n; });
}

TYPED_TEST(for_each, takes_truth_values) {
  const auto executor = TypeParam::make(1);
  const std::vector<bool> bits{true, false};
  const std::list<bool> listed{true, false};
  cadre::executor& any = *executor;

  any.for_each(bits, [](bool) {});
  any.for_each(listed, [](bool) {});
  any.map([](bool bit) { return bit ? 1 : 0; }, bits).wait();
}

TYPED_TEST(for_each, drops_what_is_returned) {
  const auto executor = TypeParam::make(1);
  cadre::executor& any = *executor;

  executor->for_each(3, [](int n) { return std::make_shared<int>(n); });
  any.for_each(3, [](int n) { return std::make_unique<int>(n); });
}

TYPED_TEST(for_each, may_count_further_than_memory_goes) {
  const auto executor = TypeParam::make(1);

  EXPECT_THROW(executor->for_each(std::numeric_limits<unsigned long long>::max(),
                                  [](unsigned long long) { throw std::runtime_error{"first"}; }),
               std::runtime_error);
}

TYPED_TEST(for_each_in_pools, ends_soon_after_an_exception) {
  const gate here;
  const auto executor = TypeParam::make(1);

  EXPECT_THROW(executor->for_each({.chunk_size = 1, .caller_runs = false}, 1000,
                                  arrive_or_throw{here.handle(), 0}),
               std::runtime_error);

  EXPECT_LT(here.arrivals(), 100U);
}

TYPED_TEST(for_each_in_pools, says_how_many_were_not_ready_in_time) {
  const gate here;
  const auto executor = TypeParam::make(1);
  const late_opening opens{here};

  try {
    executor->for_each(no_time, 7, bind(&pass, here.handle()));
    FAIL() << "it was in time";
  } catch (const timeout_error& e) {
    EXPECT_TRUE(says(e.what(), "for_each: 7 elements were not ready"));
  }
}

TYPED_TEST(for_each_in_pools, awaits_what_runs_when_its_time_is_over) {
  const gate here;
  const auto executor = TypeParam::make(1);
  late_opening opens{here};

  EXPECT_THROW(executor->for_each(no_time, 1000, bind(&pass, here.handle())), timeout_error);

  opens.join();
  const unsigned at_the_end = here.arrivals();
  executor->shutdown();
  EXPECT_EQ(here.arrivals(), at_the_end);
  EXPECT_LT(at_the_end, 1000U);
}

TYPED_TEST(for_each_here, calls_the_callable_once_for_each) {
  const auto executor = TypeParam::make(2);
  for (const std::size_t count : {1U, 2U, 63U, 64U, 65U, 128U, 129U, 1000U, 100'000U}) {
    std::vector<std::atomic<int>> calls(count);

    executor->for_each(count, [&](std::size_t i) { ++calls[i]; });

    for (const auto& each : calls) ASSERT_EQ(each, 1) << count;
  }
}

TYPED_TEST(for_each_here, may_change_the_elements_of_any_range) {
  const auto executor = TypeParam::make(2);
  std::vector<int> indexed(1000, 1);
  std::list<int> linked(1000, 1);
  std::array<int, 3> array{1, 1, 1};
  const auto add = [](int& n) { ++n; };

  executor->for_each(indexed, add);
  executor->for_each(std::span{indexed}.subspan(500), add);
  executor->for_each(linked, add);
  executor->for_each(array, add);

  EXPECT_EQ(indexed[499], 2);
  EXPECT_EQ(indexed[500], 3);
  EXPECT_EQ(linked, std::list<int>(1000, 2));
  EXPECT_EQ(array, (std::array{2, 2, 2}));
}

TYPED_TEST(for_each_here, reads_a_stream_once) {
  const auto executor = TypeParam::make(2);
  std::istringstream text{"1 2 3 4"};
  std::atomic<int> sum = 0;

  executor->for_each(std::ranges::istream_view<int>{text}, [&](int n) { sum += n; });

  EXPECT_EQ(sum, 10);
}

TYPED_TEST(for_each_here, moves_elements_that_are_made_for_it) {
  const auto executor = TypeParam::make(2);
  std::atomic<int> sum = 0;
  const std::list<int> numbers{1, 2, 3};

  executor->for_each(
      numbers | std::views::transform([](int n) { return std::make_unique<int>(n); }),
      [&](std::unique_ptr<int> n) { sum += *n; });

  EXPECT_EQ(sum, 6);
}

TYPED_TEST(for_each_here, lists_truth_values_and_proxies) {
  const auto executor = TypeParam::make(2);
  const std::list<int> numbers{-1, 1, 2};
  std::vector<bool> bits{true, false, true};
  std::atomic<int> calls = 0;

  executor->for_each(numbers | std::views::transform([](int n) { return n > 0; }),
                     [&](bool positive) { calls += positive; });
  executor->for_each(bits | std::views::filter([](bool bit) { return bit; }),
                     [&](bool bit) { calls += bit; });

  EXPECT_EQ(calls, 4);
}

TYPED_TEST(for_each_here, refers_to_the_callable) {
  const auto executor = TypeParam::make(2);
  std::atomic<int> sum = 0;
  const auto add = [factor = std::make_unique<int>(2), &sum](int n) { sum += *factor * n; };

  executor->for_each(4, add);

  EXPECT_EQ(sum, 12);
}

TYPED_TEST(for_each_here, may_be_nested) {
  const auto executor = TypeParam::make(1);
  std::atomic<int> calls = 0;

  executor
      ->submit([&] {
        executor->for_each(10, [&](int) { executor->for_each(100, [&](int) { ++calls; }); });
      })
      .get_for(long_time);

  EXPECT_EQ(calls, 1000);
}

TEST(for_each_on_threads, its_caller_runs_elements_too) {
  const gate here;
  thread_pool_executor pool{1};
  const auto busy = pool.submit(&pass, here.handle(), 0);
  here.await_arrivals(1);
  std::atomic<int> by_the_caller = 0;

  pool.for_each(10, [&, caller = std::this_thread::get_id()](int) {
    by_the_caller += std::this_thread::get_id() == caller;
  });

  EXPECT_EQ(by_the_caller, 10);
  here.open();
}

TEST(for_each_on_threads, few_elements_run_side_by_side) {
  thread_pool_executor pool{2};
  std::latch both{2};

  pool.for_each(2, [&](int) { both.arrive_and_wait(); });
}

TEST(for_each_on_threads, a_loop_that_is_over_soon_calls_in_nobody) {
  thread_pool_executor pool{1};
  const auto calls_in_nobody = [&] {
    const auto before = pool.stats().submitted;
    pool.for_each(200, [](int) {});
    return pool.stats().submitted == before;
  };

  // On a busy machine a loop may take long.
  for (int i = 0; i < 1000; ++i) {
    if (calls_in_nobody()) return;
  }
  FAIL() << "each of 1,000 short loops called in a worker";
}

TEST(for_each_on_threads, workers_come_as_soon_as_elements_take_long) {
  thread_pool_executor pool{1};
  std::latch other{1};
  std::atomic<bool> waits = false;

  pool.for_each(1000, [&, caller = std::this_thread::get_id()](int n) {
    if (std::this_thread::get_id() != caller) {
      if (!other.try_wait()) other.count_down();
    } else if (n > 0 && !waits.exchange(true)) {
      other.wait();
    } else if (n == 0) {
      work_for(1ms);
    }
  });
}

TEST(for_each_on_threads, a_stop_reaches_the_elements_that_run) {
  thread_pool_executor pool{1};
  std::stop_source stop;

  EXPECT_THROW(pool.for_each({.call = {.stop_token = stop.get_token()}}, 1000,
                             [&](int) {
                               stop.request_stop();
                               EXPECT_TRUE(this_worker::stop_token().stop_requested());
                             }),
               cancelled_error);
}

TEST(for_each_on_threads, an_exception_of_the_first_element_is_the_only_call) {
  thread_pool_executor pool{1};
  std::atomic<int> calls = 0;

  EXPECT_THROW(pool.for_each(1000,
                             [&](int) {
                               ++calls;
                               throw std::runtime_error{"first"};
                             }),
               std::runtime_error);

  EXPECT_EQ(calls, 1);
}

TEST(for_each_on_threads, a_full_queue_that_rejects_leaves_all_to_the_caller) {
  const gate here;
  thread_pool_executor pool{{.max_workers = 1, .max_pending = 1, .when_full = when_full::reject}};
  const auto busy = pool.submit(&pass, here.handle(), 0);
  here.await_arrivals(1);
  pool.post([] {});
  std::atomic<int> calls = 0;

  pool.for_each(10, [&](int) { ++calls; });
  EXPECT_EQ(calls, 10);
  EXPECT_THROW(pool.for_each({.caller_runs = false}, 10, [&](int) { ++calls; }), queue_full);

  here.open();
}

TEST(for_each_on_threads, large_chunks_run_side_by_side) {
  thread_pool_executor pool{2};
  std::latch both{2};

  pool.for_each({.chunk_size = 200}, 400, [&](int n) {
    if (n % 200 == 0) both.arrive_and_wait();
  });
}

TEST(for_each_on_threads, of_several_exceptions_one_is_thrown_and_no_other_is_reported) {
  unhandled_log log;
  thread_pool_executor pool{1};
  const for_each_options limited{.timeout = short_time, .caller_runs = false};

  EXPECT_THROW(pool.for_each(limited, 1,
                             [](int) {
                               work_for(short_time * 2);
                               throw std::runtime_error{"late"};
                             }),
               timeout_error);

  pool.shutdown();
  EXPECT_TRUE(log.entries().empty());
}

TEST(for_each_on_threads, refuses_limits_that_only_processes_keep) {
  thread_pool_executor pool{1};

  EXPECT_THROW(pool.for_each({.call = {.timeout = 1s}}, 10, [](int) {}), std::invalid_argument);
}

}  // namespace cadre::test
