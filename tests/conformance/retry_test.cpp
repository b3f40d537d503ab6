// SPDX-License-Identifier: MIT
// What retry, with_timeout and deadline_scope promise.
#include <cadre/deadline_scope.hpp>
#include <cadre/errors.hpp>
#include <cadre/promise.hpp>
#include <cadre/retry.hpp>
#include <cadre/task_group.hpp>
#include <cadre/timer.hpp>

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "conformance/executors.hpp"
#include "support/gate.hpp"
#include "support/timeouts.hpp"
#include "support/unhandled_log.hpp"

namespace cadre::test {
namespace {

using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""h;

unsigned count_threads() {
  unsigned count = 0;
  for ([[maybe_unused]] const auto& task : std::filesystem::directory_iterator{"/proc/self/task"}) {
    ++count;
  }
  return count;
}

constexpr retry_policy quick{.attempts = 3, .first_delay = std::chrono::microseconds{1}};

template <typename Traits>
class retry_of : public testing::Test {};
TYPED_TEST_SUITE(retry_of, all_executors, executor_names);

/// A call: throws unless it is the third to arrive at the gate.
unsigned succeed_at_third(gate_handle at) {
  const unsigned n = count_arrival(at);
  if (n < 3) throw std::runtime_error{"not yet"};
  return n;
}

}  // namespace

TYPED_TEST(retry_of, a_call_is_made_again_until_it_returns) {
  const gate here;
  const auto executor = TypeParam::make(1);

  const auto f = executor->submit(cadre::retry(quick, &succeed_at_third), here.handle());

  EXPECT_EQ(f.get(), 3U);
}

TYPED_TEST(retry_of, the_last_attempt_throws_what_it_throws) {
  const gate here;
  const auto executor = TypeParam::make(1);
  here.open();

  const auto f = executor->submit(cadre::retry(quick, &pass_and_throw), here.handle());

  EXPECT_THROW(f.get(), std::runtime_error);
  EXPECT_EQ(here.arrivals(), 3U);
}

TEST(retry, an_exception_of_another_type_leaves_at_once) {
  int calls = 0;
  auto call = cadre::retry<std::system_error>(quick, [&] {
    ++calls;
    throw std::runtime_error{"no system_error"};
  });

  EXPECT_THROW(call({}), std::runtime_error);
  EXPECT_EQ(calls, 1);
}

TEST(retry, a_stop_request_ends_the_pause) {
  thread_pool_executor pool{1};
  std::latch begun{1};
  const auto f = pool.submit(cadre::retry({.first_delay = 1h, .max_delay = 1h, .jitter = 0}, [&] {
    begun.count_down();
    throw std::runtime_error{"once"};
  }));
  begun.wait();

  EXPECT_TRUE(f.request_stop());

  EXPECT_THROW(f.get_for(long_time), std::runtime_error);
}

TEST(retry, a_policy_that_makes_no_sense_is_refused) {
  const auto call = [] {};
  EXPECT_THROW(cadre::retry({.attempts = 0}, call), std::invalid_argument);
  EXPECT_THROW(cadre::retry({.first_delay = -1ms}, call), std::invalid_argument);
  EXPECT_THROW(cadre::retry({.factor = 0.5}, call), std::invalid_argument);
  EXPECT_THROW(cadre::retry({.max_delay = -1ms}, call), std::invalid_argument);
  EXPECT_THROW(cadre::retry({.jitter = 2}, call), std::invalid_argument);
}

TEST(with_timeout, gives_the_value_that_comes_in_time) {
  thread_pool_executor pool{1};

  EXPECT_EQ(cadre::with_timeout(long_time, pool.submit(&multiply, 6, 7)), 42);
}

TEST(with_timeout, leaves_the_value_of_an_lvalue_where_it_is) {
  thread_pool_executor pool{1};
  const auto f = pool.submit(&multiply, 6, 7);

  EXPECT_EQ(cadre::with_timeout(long_time, f), 42);

  EXPECT_EQ(f.get(), 42);
}

TEST(with_timeout, gives_up_on_a_pending_call_and_cancels_it) {
  promise<int> never;
  const auto f = never.get_future();

  EXPECT_THROW(cadre::with_timeout(1ms, f), timeout_error);

  EXPECT_TRUE(f.cancelled());
}

TEST(with_timeout, says_what_it_did_and_nothing_of_what_comes_of_it) {
  const unhandled_log log;
  {
    thread_pool_executor pool{1};
    try {
      cadre::with_timeout(1ms, pool.submit({.name = "slow"}, [](std::stop_token stop) -> int {
        while (!stop.stop_requested()) std::this_thread::yield();
        throw std::runtime_error{"stopped"};
      }));
      ADD_FAILURE() << "it did not time out";
    } catch (const timeout_error& e) {
      const std::string what{e.what()};
      EXPECT_NE(what.find("\"slow\""), std::string::npos) << what;
      EXPECT_NE(what.find("asked to stop"), std::string::npos) << what;
    }
  }

  EXPECT_EQ(log.entries(), std::vector<std::string>{});
}

TEST(with_timeout, asks_a_running_call_to_stop) {
  thread_pool_executor pool{1};
  std::latch begun{1};
  const auto f = pool.submit([&](std::stop_token stop) {
    begun.count_down();
    while (!stop.stop_requested()) std::this_thread::yield();
  });
  begun.wait();

  EXPECT_THROW(cadre::with_timeout(1ms, f), timeout_error);

  f.get();
}

TEST(deadline_scope, stops_its_token_when_its_time_is_over) {
  thread_pool_executor pool{1};
  cadre::deadline_scope limit{1ms};
  cadre::task_group group{pool, limit.get_token()};
  group.post([](std::stop_token stop) {
    while (!stop.stop_requested()) std::this_thread::yield();
  });

  group.wait();

  EXPECT_TRUE(limit.expired());
  EXPECT_THROW(limit.check(), timeout_error);
}

TEST(deadline_scope, of_no_time_is_over_at_once) {
  const cadre::deadline_scope limit{-1ms};

  EXPECT_TRUE(limit.get_token().stop_requested());
  EXPECT_THROW(limit.check(), timeout_error);
}

TEST(deadline_scope, that_ends_in_time_stops_nothing) {
  std::stop_token token;
  {
    const cadre::deadline_scope limit{1h};
    token = limit.get_token();
    limit.check();
  }

  EXPECT_FALSE(token.stop_requested());
}

TEST(deadline_scope, may_be_destroyed_by_its_stop_callback) {
  std::latch stopped{1};
  auto limit = std::make_unique<cadre::deadline_scope>(short_time);
  const std::stop_callback ends_it{limit->get_token(), [&] {
                                     limit.reset();
                                     stopped.count_down();
                                   }};

  stopped.wait();

  EXPECT_EQ(limit, nullptr);
}

TEST(deadline_scope, may_be_destroyed_by_its_stop_callback_when_its_parent_is_stopped) {
  const auto parent = std::make_unique<std::stop_source>();
  auto limit = std::make_unique<cadre::deadline_scope>(1h, parent->get_token());
  std::optional<std::stop_callback<std::function<void()>>> ends_it;
  ends_it.emplace(limit->get_token(), [&] {
    limit.reset();
    ends_it.reset();
  });

  parent->request_stop();

  EXPECT_EQ(limit, nullptr);
}

TEST(deadline_scope, outlives_executors_with_timers) {
  std::latch stopped{1};
  const cadre::deadline_scope limit{short_time};
  const std::stop_callback tells{limit.get_token(), [&] { stopped.count_down(); }};
  {
    thread_pool_executor pool{1};
    const auto lost = submit_after(pool, 1h, [] {});
  }

  stopped.wait();

  EXPECT_TRUE(limit.expired());
}

TEST(deadline_scope, of_many_all_are_stopped_by_one_thread) {
  const unsigned threads = count_threads();
  std::vector<std::unique_ptr<cadre::deadline_scope>> limits;

  for (int i = 0; i < 20; ++i) limits.push_back(std::make_unique<cadre::deadline_scope>(1h));

  EXPECT_LE(count_threads(), threads + 1);
}

TEST(deadline_scope, is_stopped_by_its_parent_without_being_over) {
  const auto parent = std::make_unique<std::stop_source>();  // g++ 12 warns of one on the stack
  const cadre::deadline_scope limit{std::chrono::steady_clock::now() + 1h, parent->get_token()};

  parent->request_stop();

  EXPECT_TRUE(limit.get_token().stop_requested());
  EXPECT_FALSE(limit.expired());
  limit.check();
}

}  // namespace cadre::test
