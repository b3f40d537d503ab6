// SPDX-License-Identifier: MIT
// Workers that deny that they have begun their calls, which the pool gives to others then: not for ever.
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <stop_token>
#include <string>
#include <thread>

#include "fault/hostile/hostile_calls.hpp"
#include "fault/process_pool_calls.hpp"
#include "support/gate.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using namespace std::chrono_literals;

enum class denial : std::uint8_t { exits, exits_when_its_time_is_over, is_killed, hangs };

[[noreturn]] void deny(const std::stop_token& stop, gate_handle at, denial how) {
  arrive(at, 0);
  deny_calls();
  while (how == denial::exits_when_its_time_is_over && !stop.stop_requested()) {
    std::this_thread::yield();
  }
  if (how == denial::is_killed) ::raise(SIGKILL);
  while (how == denial::hangs) ::pause();
  ::_exit(0);
}

int deny_it(const std::stop_token& stop, gate_handle at, denial how) { deny(stop, at, how); }

class denied_call : public testing::TestWithParam<denial> {};

TEST_P(denied_call, is_over_when_its_time_limit_is) {
  const gate here;
  process_pool_executor pool{1};

  const auto f = pool.submit({.timeout = 50ms, .grace = 20ms}, &deny_it, here.handle(), GetParam());

  ASSERT_TRUE(f.wait_for(medium_time));
  EXPECT_ANY_THROW(f.get());  // of its time limit, or a death
}

int deny_when_asked_to_stop(const std::stop_token& stop, gate_handle at) {
  arrive(at, 0);
  while (!stop.stop_requested()) std::this_thread::yield();
  deny_calls();
  ::_exit(0);
}

TEST(denied_call_that_was_asked_to_stop, is_over) {
  const gate here;
  process_pool_executor pool{1};
  const auto f = pool.submit({.grace = long_time}, &deny_when_asked_to_stop, here.handle());
  here.await_arrivals(1);

  EXPECT_TRUE(f.request_stop());

  ASSERT_TRUE(f.wait_for(medium_time));
  EXPECT_EQ(death_of(f).hint.find("those before it"), std::string::npos);
}

/// Its first workers, so many of them, end in good order; the others are killed.
int deny_and_be_killed(gate_handle at, unsigned good_ends) {
  const unsigned runs = count_arrival(at);
  deny_calls();
  if (runs > good_ends) ::raise(SIGKILL);
  ::_exit(0);
}

/// How often that call ran before it failed.
unsigned runs_with(unsigned good_ends) {
  const gate here;
  process_pool_executor pool{1};
  const auto f = pool.submit(&deny_and_be_killed, here.handle(), good_ends);
  EXPECT_TRUE(f.wait_for(long_time));
  EXPECT_THROW(f.get(), worker_died);
  return here.arrivals();
}

TEST(denied_call_without_a_time_limit, is_given_away_three_times) { EXPECT_EQ(runs_with(0), 4U); }

// Somebody may have asked each worker to end: a hundred of these ends count as one by a signal.
TEST(denied_call_without_a_time_limit, is_given_away_more_often_if_its_workers_end_in_good_order) {
  EXPECT_EQ(runs_with(1), 4U);
  EXPECT_EQ(runs_with(10), 13U);
}

INSTANTIATE_TEST_SUITE_P(that, denied_call,
                         testing::Values(denial::exits, denial::exits_when_its_time_is_over,
                                         denial::is_killed, denial::hangs));

}  // namespace
}  // namespace cadre::test
