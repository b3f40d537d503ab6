// SPDX-License-Identifier: MIT
// Worker processes that die, hang or are told to end: what becomes of their calls, and of the pool.
// The F numbers are those of the project's list of faults.
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>
#include <cadre/wait.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "fault/process_pool_calls.hpp"
#include "support/gate.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using namespace std::chrono_literals;

int hang_deaf(gate_handle at) {
  ::signal(SIGTERM, SIG_IGN);
  return hang(at);
}

std::size_t count_x(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), 'x'));
}

int die_at(gate_handle at) {
  pass(at, 0);
  end_by(way::is_killed);
  return 0;
}

bool until_stopped(const std::stop_token& stop, gate_handle at) {
  arrive(at, 0);
  while (!stop.stop_requested()) std::this_thread::yield();
  return true;
}

/// Dies on all but its `which`th arrival at the gate.
int dies_but_the(gate_handle at, unsigned which) {
  const unsigned arrived = count_arrival(at);
  if (arrived != which) ::raise(SIGKILL);
  return static_cast<int>(arrived);
}

int stop_self(gate_handle at) {
  arrive(at, 0);
  ::raise(SIGSTOP);
  return 0;
}

}  // namespace

// --- each way to end, at each stage: F1, F4, F5, F19 to F22 ---

TEST(process_pool_fault, a_call_that_throws_at_any_stage_costs_itself_only) {
  process_pool_executor pool{1};
  constexpr way none = way::harmless;
  constexpr way bad = way::throws;

  const std::vector<future<trap>> failing{
      pool.submit(&meet_traps, trap{bad, none}, none, none, none),
      pool.submit(&meet_traps, trap{none, bad}, none, none, none),
      pool.submit(&meet_traps, trap{}, bad, none, none),
      pool.submit(&meet_traps, trap{}, none, bad, none),
      pool.submit(&meet_traps, trap{}, none, none, bad)};
  const auto good = pool.submit(&meet_traps, trap{}, none, none, none);

  for (const auto& f : failing) {
    EXPECT_EQ(failure_of<std::domain_error>(f), "thrown on purpose");
  }
  EXPECT_NO_THROW(good.get_for(medium_time));
}

TEST(process_pool_fault, a_call_that_kills_its_worker_costs_itself_only) {
  process_pool_executor pool{1};
  constexpr way none = way::harmless;
  for (const way how : deadly_ways) {
    const std::vector<future<trap>> failing{
        pool.submit(&meet_traps, trap{none, how}, none, none, none),
        pool.submit(&meet_traps, trap{}, how, none, none),
        pool.submit(&meet_traps, trap{}, none, how, none)};
    const auto good = pool.submit(&add_one, 41);

    for (const auto& f : failing) {
      const worker_death death = death_of(f);
      EXPECT_EQ(death.exit_code, how == way::exits ? 7 : 0);
      EXPECT_EQ(death.signal, how == way::exits ? 0 : how == way::crashes ? SIGSEGV : SIGKILL);
      EXPECT_GT(death.pid, 0);
    }
    EXPECT_EQ(good.get_for(medium_time), 42);
  }
}

TEST(process_pool_fault, an_exit_with_code_0_is_a_death_too) {
  process_pool_executor pool{1};

  const worker_death death = death_of(pool.submit([] {
    ::_exit(0);
    return 1;
  }));

  EXPECT_EQ(death.signal, 0);
  EXPECT_EQ(death.exit_code, 0);
}

// --- whose worker dies: F1, F2, F6, F7 ---

TEST(process_pool_fault, calls_queued_behind_a_dead_worker_run_elsewhere) {
  const gate here;
  process_pool_executor pool{1};
  const auto running = pool.submit(&hang, here.handle());
  here.await_arrivals(1);
  std::vector<future<int>> queued;
  for (int i = 0; i < 5; ++i) queued.push_back(pool.submit(&add_one, i));

  ::kill(pool.worker_pids().at(0), SIGKILL);

  EXPECT_EQ(death_of(running).signal, SIGKILL);
  for (int i = 0; i < 5; ++i)
    EXPECT_EQ(queued[static_cast<std::size_t>(i)].get_for(medium_time), i + 1);
}

TEST(process_pool_fault, f2_an_idle_worker_that_is_killed_costs_nothing) {
  process_pool_executor pool{1};
  for (int i = 0; i < 5; ++i) {
    const int pid = pool.submit(&own_pid).get_for(medium_time);
    ::kill(pid, SIGKILL);
    EXPECT_NE(pool.submit({.retries = 1}, &own_pid).get_for(medium_time), pid);
  }
}

TEST(process_pool_fault, f7_all_workers_killed_at_once_are_replaced) {
  const gate here;
  process_pool_executor pool{3};
  std::vector<future<int>> running;
  for (int i = 0; i < 3; ++i) running.push_back(pool.submit(&hang, here.handle()));
  here.await_arrivals(3);

  for (const int pid : pool.worker_pids()) ::kill(pid, SIGKILL);

  for (const auto& f : running) EXPECT_EQ(death_of(f).signal, SIGKILL);
  EXPECT_EQ(pool.submit(&add_one, 1).get_for(medium_time), 2);
}

TEST(process_pool_fault, retries_run_the_call_again_as_often_as_they_say) {
  const gate enough;
  const gate too_few;
  process_pool_executor pool{1};

  const auto lucky = pool.submit({.retries = 2}, &dies_but_the, enough.handle(), 3U);
  const auto unlucky = pool.submit({.retries = 1}, &dies_but_the, too_few.handle(), 3U);

  EXPECT_EQ(lucky.get_for(medium_time), 3);
  EXPECT_EQ(death_of(unlucky).signal, SIGKILL);
  EXPECT_EQ(too_few.arrivals(), 2U);
}

TEST(process_pool_fault, retries_are_not_for_exceptions) {
  const gate here;
  here.open();
  process_pool_executor pool{1};

  const auto f = pool.submit({.retries = 5}, &pass_and_throw, here.handle());

  EXPECT_EQ(failure_of<std::runtime_error>(f), "passed");
  EXPECT_EQ(here.arrivals(), 1U);
}

// --- time: F40, F44 ---

TEST(process_pool_fault, timeout_ends_a_call_that_hangs) {
  const gate here;
  process_pool_executor pool{1};

  const auto f =
      pool.submit({.name = "slow", .timeout = 20ms, .grace = 10ms}, &hang, here.handle());

  const std::string why = failure_of<timeout_error>(f);
  EXPECT_NE(why.find("\"slow\""), std::string::npos) << why;
  EXPECT_EQ(pool.submit(&add_one, 1).get_for(medium_time), 2);
}

TEST(process_pool_fault, f40_timeout_ends_a_call_that_ignores_sigterm) {
  const gate here;
  process_pool_executor pool{1};

  const auto f = pool.submit({.timeout = 20ms, .grace = 10ms}, &hang_deaf, here.handle());

  failure_of<timeout_error>(f);
  EXPECT_EQ(pool.submit(&add_one, 1).get_for(medium_time), 2);
}

TEST(process_pool_fault, timeout_ends_a_stopped_worker) {
  const gate here;
  process_pool_executor pool{1};

  const auto f = pool.submit({.timeout = 20ms, .grace = 10ms}, &stop_self, here.handle());

  failure_of<timeout_error>(f);
  EXPECT_EQ(pool.submit(&add_one, 1).get_for(medium_time), 2);
}

// A stopped worker that never began the call is no fault of the call.
TEST(process_pool_fault, timeout_of_a_call_that_was_not_begun_runs_it_elsewhere) {
  process_pool_executor pool{1};
  const int stopped = pool.submit(&own_pid).get_for(medium_time);
  ::kill(stopped, SIGSTOP);

  const auto f = pool.submit({.timeout = 50ms, .grace = 10ms}, &own_pid);

  EXPECT_NE(f.get_for(medium_time), stopped);
}

TEST(process_pool_fault, timeout_lets_the_call_stop_by_itself) {
  const gate here;
  process_pool_executor pool{1};
  const int pid = pool.submit(&own_pid).get_for(medium_time);

  const auto f = pool.submit({.timeout = 20ms, .grace = long_time}, &until_stopped, here.handle());

  failure_of<timeout_error>(f);
  EXPECT_EQ(pool.submit(&own_pid).get_for(medium_time), pid);
}

// F42.
TEST(process_pool_fault, f42_timeout_of_a_call_spares_the_next_one) {
  const gate here;
  process_pool_executor pool{1};
  for (int i = 0; i < 5; ++i) {
    const auto hangs = pool.submit({.timeout = 5ms, .grace = 5ms}, &hang, here.handle());
    const auto next = pool.submit(&add_one, i);

    failure_of<timeout_error>(hangs);
    EXPECT_EQ(next.get_for(medium_time), i + 1);
  }
}

// --- requests: F43 ---

TEST(process_pool_fault, request_stop_reaches_the_stop_token) {
  const gate here;
  process_pool_executor pool{1};
  const auto f = pool.submit({.grace = long_time}, &until_stopped, here.handle());
  here.await_arrivals(1);

  EXPECT_TRUE(f.request_stop());

  EXPECT_TRUE(f.get_for(medium_time));
}

TEST(process_pool_fault, request_stop_kills_after_the_grace_period) {
  const gate here;
  process_pool_executor pool{1};
  const auto f = pool.submit({.grace = 10ms}, &hang_deaf, here.handle());
  here.await_arrivals(1);

  EXPECT_TRUE(f.request_stop());

  const worker_death death = death_of(f);
  EXPECT_EQ(death.signal, SIGKILL);
  EXPECT_NE(death.hint.find("grace"), std::string::npos) << death.hint;
}

TEST(process_pool_fault, cancel_takes_back_a_call_that_was_sent) {
  const gate here;
  const gate never_run;
  process_pool_executor pool{1};
  const auto running = pool.submit(&pass, here.handle(), 1);
  here.await_arrivals(1);
  const auto sent = pool.submit(&arrive, never_run.handle(), 2);

  EXPECT_TRUE(sent.cancel());
  here.open();

  EXPECT_EQ(running.get_for(medium_time), 1);
  EXPECT_EQ(pool.submit(&add_one, 1).get_for(medium_time), 2);
  EXPECT_EQ(never_run.arrivals(), 0U);
}

// The call behind it becomes the worker's next, and its time begins.
TEST(process_pool_fault, cancel_starts_the_clock_of_the_next_call) {
  process_pool_executor pool{1};
  const int stopped = pool.submit(&own_pid).get_for(medium_time);
  ::kill(stopped, SIGSTOP);
  const auto first = pool.submit(&add_one, 1);
  const auto second = pool.submit({.timeout = 20ms, .grace = 5ms}, &own_pid);

  EXPECT_TRUE(first.cancel());

  EXPECT_NE(second.get_for(medium_time), stopped);
}

// --- retirement: F10 ---

TEST(process_pool_fault, f10_workers_are_replaced_after_their_calls_with_a_backlog) {
  auto options = workers(1);
  options.max_calls_per_worker = 2;
  process_pool_executor pool{std::move(options)};
  std::vector<future<int>> calls;
  for (int i = 0; i < 6; ++i) calls.push_back(pool.submit(&own_pid));

  std::vector<int> pids;
  for (const auto& f : calls) pids.push_back(f.get_for(medium_time));

  EXPECT_EQ(pids[0], pids[1]);
  EXPECT_NE(pids[1], pids[2]);
  EXPECT_NE(pids[3], pids[4]);
}

// The order to end must not come between the parts of the next call.
TEST(process_pool_fault, workers_are_replaced_while_a_large_call_is_sent) {
  const gate here;
  auto options = workers(1);
  options.max_resident = 1;  // all are too large
  process_pool_executor pool{std::move(options)};
  const auto running = pool.submit(&pass, here.handle(), 1);
  here.await_arrivals(1);
  const std::string large(std::size_t{3} << 20, 'x');
  const auto sent = pool.submit(&count_x, large);

  here.open();

  EXPECT_EQ(running.get_for(medium_time), 1);
  EXPECT_EQ(sent.get_for(medium_time), large.size());
}

TEST(process_pool_fault, workers_that_grew_are_replaced) {
  auto options = workers(1);
  options.max_resident = 1;
  process_pool_executor pool{std::move(options)};

  const int first = pool.submit(&own_pid).get_for(medium_time);

  EXPECT_NE(pool.submit(&own_pid).get_for(medium_time), first);
}

TEST(process_pool_fault, idle_workers_end) {
  auto options = workers(1);
  options.idle_timeout = 5ms;
  process_pool_executor pool{std::move(options)};
  const int first = pool.submit(&own_pid).get_for(medium_time);

  while (!pool.worker_pids().empty()) std::this_thread::yield();

  EXPECT_NE(pool.submit(&own_pid).get_for(medium_time), first);
}

// --- initializers: F6 ---

TEST(process_pool_fault, f6_initializer_that_throws_breaks_the_pool_and_says_why) {
  auto options = workers(1);
  options.initializer = [] { throw std::domain_error{"no licence"}; };
  process_pool_executor pool{std::move(options)};

  const auto f = pool.submit(&add_one, 1);

  const std::string why = failure_of<broken_executor>(f);
  EXPECT_NE(why.find("no licence"), std::string::npos) << why;
  EXPECT_THROW(static_cast<void>(pool.submit(&add_one, 1)), broken_executor);
}

TEST(process_pool_fault, f6_initializer_that_kills_its_worker_breaks_the_pool) {
  const auto reason = [](worker_function initializer) {
    auto options = workers(1);
    options.initializer = std::move(initializer);
    process_pool_executor pool{std::move(options)};
    return failure_of<broken_executor>(pool.submit(&add_one, 1));
  };

  const std::string crash = reason([] { end_by(way::crashes); });
  const std::string exit = reason([] { end_by(way::exits); });

  EXPECT_NE(crash.find("SIGSEGV"), std::string::npos) << crash;
  EXPECT_NE(exit.find("code 7"), std::string::npos) << exit;
}

// --- the end of pools: F12, F17, F32 ---

TEST(process_pool_fault, break_pool_fails_all_calls_as_python_does) {
  const gate here;
  const gate there;
  auto options = workers(2);
  options.on_worker_death = on_worker_death::break_pool;
  process_pool_executor pool{std::move(options)};
  const auto running = pool.submit(&hang, here.handle());
  here.await_arrivals(1);
  const auto dying = pool.submit(&die_at, there.handle());
  there.await_arrivals(1);
  std::vector<future<int>> queued;
  for (int i = 0; i < 3; ++i) queued.push_back(pool.submit(&hang, here.handle()));

  there.open();

  failure_of<broken_executor>(dying);
  failure_of<broken_executor>(running);
  for (const auto& f : queued) failure_of<broken_executor>(f);
  EXPECT_THROW(static_cast<void>(pool.submit(&add_one, 1)), broken_executor);
}

TEST(process_pool_fault, f12_kill_workers_starts_no_others) {
  const gate here;
  process_pool_executor pool{2};
  std::vector<future<int>> running;
  for (int i = 0; i < 2; ++i) running.push_back(pool.submit({.retries = 9}, &hang, here.handle()));
  here.await_arrivals(2);
  const auto pending = pool.submit(&add_one, 1);

  pool.kill_workers();

  for (const auto& f : running) {
    EXPECT_EQ(death_of(f).signal, SIGKILL);
    EXPECT_EQ(death_of(f).hint, "the pool was told to end its workers by kill_workers()");
  }
  EXPECT_TRUE(pending.cancelled());
  EXPECT_EQ(here.arrivals(), 2U);
  EXPECT_THROW(static_cast<void>(pool.submit(&add_one, 1)), shutdown_error);
}

TEST(process_pool_fault, terminate_workers_ends_them_by_sigterm) {
  const gate here;
  process_pool_executor pool{1};
  const auto running = pool.submit(&hang, here.handle());
  here.await_arrivals(1);

  pool.terminate_workers();

  EXPECT_EQ(death_of(running).signal, SIGTERM);
  EXPECT_EQ(death_of(running).hint, "the pool was told to end its workers by terminate_workers()");
}

TEST(process_pool_fault, destructor_waits_while_workers_crash) {
  std::vector<future<int>> dying;
  std::optional<process_pool_executor> pool{2};
  for (int i = 0; i < 8; ++i)
    dying.push_back(pool->submit(&end, i % 2 == 0 ? way::is_killed : way::harmless));

  pool.reset();

  for (std::size_t i = 0; i < dying.size(); ++i) {
    ASSERT_TRUE(dying[i].done());
    EXPECT_EQ(dying[i].exception() != nullptr, i % 2 == 0);
  }
}

}  // namespace cadre::test
