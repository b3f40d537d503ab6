// SPDX-License-Identifier: MIT
// What a pool's user may get wrong about initializers, finalizers and large calls: what becomes of
// the workers, and who is told.
#include <cadre/codec.hpp>
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fault/process_pool_calls.hpp"
#include "support/gate.hpp"
#include "support/process.hpp"
#include "support/timeouts.hpp"
#include "support/unhandled_log.hpp"

namespace cadre::test {
namespace {

void take_trap(const trap&) {}

void hang_at_start(gate_handle at) { hang(at); }
void hang_at_start_without_signals(gate_handle at) {
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  hang(at);
}
void throw_when_told(gate_handle at) {
  pass(at, 0);
  throw std::domain_error{"it has expired"};
}

process_pool_options that_breaks(gate_handle when) {
  auto options = workers(1);
  options.initializer = bind(&throw_when_told, when);
  return options;
}

const child_program has_a_finalizer_that_throws{"has_a_finalizer_that_throws", [] {
                                                  auto options = workers(1);
                                                  options.name = "the pool";
                                                  options.finalizer = [] { throw 1; };
                                                  process_pool_executor pool{std::move(options)};
                                                  return pool.submit(&add_one, -1).get();
                                                }};

std::size_t length_of(const std::string& text) { return text.size(); }

}  // namespace

TEST(process_pool_life, an_initializer_that_cannot_be_encoded_is_told_to_who_makes_the_pool) {
  auto options = workers(1);
  options.initializer = bind(&take_trap, trap{way::throws, way::harmless});

  EXPECT_THROW(process_pool_executor{std::move(options)}, std::domain_error);
}

TEST(process_pool_life, a_finalizer_that_cannot_be_encoded_is_told_to_who_makes_the_pool) {
  auto options = workers(1);
  options.finalizer = bind(&take_trap, trap{way::throws, way::harmless});

  EXPECT_THROW(process_pool_executor{std::move(options)}, std::domain_error);
}

TEST(process_pool_life, an_initializer_that_throws_is_told_to_the_hook) {
  const unhandled_log log;
  auto options = workers(1);
  options.name = "with a licence";
  options.initializer = [] { throw std::domain_error{"it has expired"}; };
  process_pool_executor pool{std::move(options)};

  failure_of<broken_executor>(pool.submit(&add_one, 1));

  ASSERT_EQ(log.entries().size(), 1U);
  EXPECT_EQ(log.entries()[0], "initializer with a licence: it has expired");
}

TEST(process_pool_life, calls_of_a_broken_pool_that_nobody_asks_are_reported_once) {
  const unhandled_log log;
  const gate here;
  {
    process_pool_executor pool{that_breaks(here.handle())};
    for (int i = 0; i < 10; ++i) static_cast<void>(pool.submit(&add_one, i));
    here.open();
  }

  const auto entries = log.entries();
  ASSERT_EQ(entries.size(), 2U) << "the initializer, and one call";
  EXPECT_NE(entries[1].find("pending calls failed"), std::string::npos) << entries[1];
}

TEST(process_pool_life, a_call_of_a_broken_pool_is_reported_though_others_were_asked) {
  const unhandled_log log;
  const gate here;
  process_pool_executor pool{that_breaks(here.handle())};
  std::vector<future<int>> calls;
  for (int i = 0; i < 10; ++i) calls.push_back(pool.submit(&add_one, i));
  here.open();

  for (std::size_t i = 0; i < 9; ++i) failure_of<broken_executor>(calls[i]);
  pool.shutdown();
  calls.clear();

  EXPECT_EQ(log.entries().size(), 2U) << "the initializer, and the call that nobody asked";
}

TEST(process_pool_life, an_initializer_that_never_returns_holds_up_no_end) {
  const gate here;
  auto options = workers(1);
  options.initializer = bind(&hang_at_start_without_signals, here.handle());
  options.initializer_timeout = small_time;
  options.end_grace = long_time;
  process_pool_executor pool{std::move(options)};
  const auto f = pool.submit(&add_one, 1);
  here.await_arrivals(1);
  const auto begin = std::chrono::steady_clock::now();

  pool.shutdown({.cancel_pending = true});

  EXPECT_TRUE(f.cancelled());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, long_time);
}

TEST(process_pool_life, an_initializer_that_never_returns_is_ended_when_its_time_is_over) {
  const unhandled_log log;
  const gate here;
  auto options = workers(1);
  options.initializer = bind(&hang_at_start, here.handle());
  options.initializer_timeout = short_time;
  process_pool_executor pool{std::move(options)};

  const std::string why = failure_of<broken_executor>(pool.submit(&add_one, 1));

  EXPECT_NE(why.find("initializer_timeout"), std::string::npos) << why;
}

TEST(process_pool_life, an_initializer_that_returns_in_time_leaves_no_limit_behind) {
  auto options = workers(1);
  options.initializer = [] {};
  options.initializer_timeout = small_time;
  process_pool_executor pool{std::move(options)};
  const int first = pool.submit(&own_pid).get();
  const auto end = std::chrono::steady_clock::now() + 2 * small_time;

  while (std::chrono::steady_clock::now() < end) std::this_thread::yield();

  EXPECT_EQ(pool.submit(&own_pid).get(), first);
}

TEST(process_pool_life, a_finalizer_may_throw_anything) {
  const ended child = has_a_finalizer_that_throws.run();

  EXPECT_EQ(child.exit_code, 0) << child;
  EXPECT_NE(child.err.find("finalizer \"the pool\": int"), std::string::npos) << child;
  EXPECT_EQ(child.err.find("terminate called"), std::string::npos) << child;
}

TEST(process_pool_life, kill_workers_kills_one_that_is_just_starting) {
  const gate here;
  auto options = workers(1);
  options.start_method = start_method::exec;
  options.initializer = bind(&hang_at_start, here.handle());
  process_pool_executor pool{std::move(options)};
  const auto f = pool.submit(&add_one, 1);
  while (pool.stats().workers == 0) std::this_thread::yield();  // it is noted before it exists

  pool.kill_workers();

  EXPECT_TRUE(pool.shutdown({.deadline = medium_time}).complete);
  EXPECT_TRUE(f.cancelled());
}

TEST(process_pool_life, cancel_takes_back_a_large_call_behind_one_that_hangs) {
  const gate here;
  process_pool_executor pool{1};
  const auto running = pool.submit(&pass, here.handle(), 1);
  here.await_arrivals(1);

  auto large = pool.submit(&length_of, std::string(1'000'000, 'x'));

  EXPECT_TRUE(large.cancel());
  here.open();
  EXPECT_EQ(running.get_for(medium_time), 1);
}

TEST(process_pool_life, a_result_that_cannot_be_decoded_counts_as_failed) {
  process_pool_executor pool{1};

  const auto f = pool.submit(&meet_traps, trap{}, way::harmless, way::harmless, way::throws);

  failure_of<std::domain_error>(f);
  EXPECT_EQ(pool.stats().failed, 1U);
  EXPECT_EQ(pool.stats().finished, 0U);
}

}  // namespace cadre::test
