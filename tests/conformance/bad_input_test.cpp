// SPDX-License-Identifier: MIT
// Misuse is a clear exception, at once, and costs no other call its result. What the compiler can
// tell is in tests/compile_fail.
#include <cadre/errors.hpp>
#include <cadre/inline_executor.hpp>
#include <cadre/make_executor.hpp>
#include <cadre/promise.hpp>
#include <cadre/thread_pool_executor.hpp>
#include <cadre/wait.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/gate.hpp"
#include "support/says.hpp"

namespace cadre::test {
namespace {

using std::chrono_literals::operator""s;

}  // namespace

TEST(bad_input, zero_or_negative_workers_are_refused) {
  for (const int workers : {0, -1}) {
    const std::string message =
        message_of<std::invalid_argument>([&] { thread_pool_executor{workers}; });

    EXPECT_TRUE(says(message, "max_workers"));
    EXPECT_TRUE(says(message, std::to_string(workers)));
  }
}

TEST(bad_input, a_bound_of_zero_is_refused) {
  EXPECT_TRUE(says(message_of<std::invalid_argument>(
                       [] { thread_pool_executor{{.max_workers = 1, .max_pending = 0}}; }),
                   "max_pending"));
}

TEST(bad_input, the_largest_bound_takes_every_call) {
  thread_pool_executor pool{{.max_workers = 1,
                             .max_pending = std::numeric_limits<std::size_t>::max(),
                             .when_full = when_full::reject}};

  EXPECT_EQ(pool.submit([] { return 42; }).get(), 42);
}

TEST(bad_input, negative_times_are_refused) {
  using std::chrono::nanoseconds;
  EXPECT_TRUE(says(message_of<std::invalid_argument>([] {
                     thread_pool_executor{{.max_workers = 1, .spin = nanoseconds::min()}};
                   }),
                   "spin"));
  EXPECT_TRUE(says(message_of<std::invalid_argument>([] {
                     thread_pool_executor{{.max_workers = 1, .idle_timeout = nanoseconds{-1}}};
                   }),
                   "idle_timeout"));
}

TEST(bad_input, the_longest_times_are_not_too_long) {
  constexpr auto longest = std::chrono::nanoseconds::max();
  thread_pool_executor pool{{.max_workers = 1, .idle_timeout = longest, .spin = longest}};

  for (int i = 0; i < 100; ++i) EXPECT_EQ(pool.submit([i] { return i; }).get(), i);
}

TEST(bad_input, a_processor_that_can_not_exist_is_refused) {
  EXPECT_TRUE(says(message_of<std::invalid_argument>(
                       [] { thread_pool_executor{{.max_workers = 1, .affinity = {-1}}}; }),
                   "-1"));
}

TEST(bad_input, an_empty_callable_is_refused) {
  thread_pool_executor pool{1};
  int (*const no_function)() = nullptr;
  const std::function<int()> empty;

  EXPECT_TRUE(
      says(message_of<std::invalid_argument>([&] { static_cast<void>(pool.submit(no_function)); }),
           "empty"));
  EXPECT_THROW(static_cast<void>(pool.submit(empty)), std::invalid_argument);
  EXPECT_THROW(pool.post(no_function), std::invalid_argument);
  EXPECT_THROW(pool.post(empty), std::invalid_argument);
}

TEST(bad_input, an_empty_callable_is_refused_by_map_and_submit_bulk) {
  thread_pool_executor pool{1};
  const std::vector<int> input{1, 2, 3};
  int (*const no_function)(int) = nullptr;

  EXPECT_THROW(static_cast<void>(pool.map(no_function, input)), std::invalid_argument);
  EXPECT_THROW(static_cast<void>(pool.submit_bulk(no_function, input)), std::invalid_argument);
}

TEST(bad_input, an_empty_callable_costs_no_other_call) {
  const gate here;
  thread_pool_executor pool{1};
  const auto running = pool.submit(&pass, here.handle(), 42);
  const auto queued = pool.submit([] { return 43; });
  int (*const no_function)() = nullptr;

  EXPECT_THROW(static_cast<void>(pool.submit(no_function)), std::invalid_argument);
  here.open();

  EXPECT_EQ(running.get(), 42);
  EXPECT_EQ(queued.get(), 43);
}

TEST(bad_input, submit_after_shutdown_is_refused_and_says_what_to_do) {
  thread_pool_executor pool{1};
  inline_executor here;
  pool.shutdown();
  here.shutdown();

  EXPECT_TRUE(says(message_of<shutdown_error>([&] { static_cast<void>(pool.submit([] {})); }),
                   "another executor"));
  EXPECT_TRUE(says(message_of<shutdown_error>([&] { static_cast<void>(here.submit([] {})); }),
                   "another executor"));
}

TEST(bad_input, post_map_and_submit_bulk_after_shutdown_are_refused) {
  thread_pool_executor pool{1};
  const std::vector<int> input{1, 2, 3};
  const auto twice = [](int n) { return 2 * n; };
  pool.shutdown();

  EXPECT_THROW(pool.post([] {}), shutdown_error);
  EXPECT_THROW(static_cast<void>(pool.map(twice, input)), shutdown_error);
  EXPECT_THROW(static_cast<void>(pool.map({.buffer_size = 2}, twice, input)), shutdown_error);
  EXPECT_THROW(static_cast<void>(pool.submit_bulk(twice, input)), shutdown_error);
}

TEST(bad_input, what_was_submitted_before_a_refused_call_has_its_result) {
  const gate here;
  thread_pool_executor pool{1};
  const auto f = pool.submit(&pass, here.handle(), 42);
  pool.shutdown({.wait = false});

  EXPECT_THROW(static_cast<void>(pool.submit([] { return 0; })), shutdown_error);
  here.open();

  EXPECT_EQ(f.get(), 42);
}

TEST(bad_input, every_question_to_an_empty_future_is_refused) {
  const future<int> f;

  EXPECT_FALSE(f.valid());
  EXPECT_TRUE(says(message_of<invalid_state_error>([&] { f.get(); }), "empty"));
  EXPECT_THROW(f.get_for(0s), invalid_state_error);
  EXPECT_THROW(f.wait(), invalid_state_error);
  EXPECT_THROW(static_cast<void>(f.wait_for(0s)), invalid_state_error);
  EXPECT_THROW(static_cast<void>(f.exception()), invalid_state_error);
  EXPECT_THROW(static_cast<void>(f.done()), invalid_state_error);
  EXPECT_THROW(static_cast<void>(f.running()), invalid_state_error);
  EXPECT_THROW(static_cast<void>(f.cancelled()), invalid_state_error);
  EXPECT_THROW(f.cancel(), invalid_state_error);
  EXPECT_THROW(f.request_stop(), invalid_state_error);
  EXPECT_THROW(f.add_done_callback([](const future<int>&) {}), invalid_state_error);
  EXPECT_THROW(static_cast<void>(f.then([](int) {})), invalid_state_error);
}

TEST(bad_input, an_empty_future_among_others_is_refused) {
  promise<int> writer;
  const std::vector futures{writer.get_future(), future<int>{}};

  EXPECT_THROW(cadre::wait(futures, {.timeout = 0s}), invalid_state_error);
  EXPECT_THROW(cadre::as_completed(futures), invalid_state_error);
  EXPECT_THROW(static_cast<void>(when_all(futures)), invalid_state_error);
  EXPECT_THROW(static_cast<void>(when_any(futures)), invalid_state_error);

  writer.set_value(0);
}

TEST(bad_input, a_call_that_waits_for_itself_throws) {
  const gate begin;
  thread_pool_executor pool{1};
  future<int> self;
  self = pool.submit([&] {
    pass(begin.handle(), 0);
    return self.get();
  });

  begin.open();

  EXPECT_TRUE(says(message_of<deadlock_error>([&] { self.get(); }), "wait for itself"));
}

TEST(bad_input, a_promise_set_twice_throws_and_keeps_the_first) {
  promise<int> writer;
  writer.set_value(1);

  EXPECT_TRUE(says(message_of<invalid_state_error>([&] { writer.set_value(2); }), "set already"));
  EXPECT_THROW(writer.set_exception(std::make_exception_ptr(2)), invalid_state_error);

  EXPECT_EQ(writer.get_future().get(), 1);
}

TEST(bad_input, a_promise_set_after_the_reader_cancelled_says_so) {
  promise<int> writer;
  writer.get_future().cancel();

  EXPECT_TRUE(says(message_of<invalid_state_error>([&] { writer.set_value(2); }), "cancelled"));
}

TEST(bad_input, a_promise_that_was_moved_from_is_refused) {
  promise<int> writer;
  promise<int> other = std::move(writer);

  EXPECT_THROW(static_cast<void>(writer.get_future()), invalid_state_error);
  EXPECT_THROW(writer.set_value(1), invalid_state_error);

  other.set_value(2);
}

TEST(bad_input, a_null_exception_is_refused) {
  promise<int> writer;

  EXPECT_THROW(writer.set_exception(nullptr), invalid_state_error);

  writer.set_value(42);
  EXPECT_EQ(writer.get_future().get(), 42);
}

TEST(bad_input, an_unknown_executor_is_refused_and_the_valid_ones_are_listed) {
  for (const char* description : {"", "thread", "threads:", "threads:x", "threads:8x", "threads: 8",
                                  "Inline", "processes:two"}) {
    const std::string message =
        message_of<std::invalid_argument>([&] { static_cast<void>(make_executor(description)); });

    EXPECT_TRUE(says(message, description));
    for (const char* valid : {"\"threads\"", "\"threads:N\"", "\"inline\""}) {
      EXPECT_TRUE(says(message, valid));
    }
  }
}

TEST(bad_input, an_executor_description_with_a_bad_number_of_workers_is_refused) {
  for (const char* description : {"threads:0", "threads:-3", "threads:99999999999"}) {
    EXPECT_THROW(static_cast<void>(make_executor(description)), std::invalid_argument)
        << description;
  }
}

TEST(bad_input, no_description_means_threads) {
  const char* const unset = std::getenv("CADRE_NO_SUCH_VARIABLE");

  EXPECT_EQ(make_executor(unset)->max_workers(), usable_cpus());
  EXPECT_EQ(make_executor("threads:3")->max_workers(), 3U);
  EXPECT_EQ(make_executor("inline")->max_workers(), 1U);
}

}  // namespace cadre::test
