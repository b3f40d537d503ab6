// SPDX-License-Identifier: MIT
// The process pool when things happen at once: submit, deaths, callbacks and shutdown, full channels, a
// result and its timeout. The F numbers are those of the project's list of faults.
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>
#include <cadre/wait.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fault/process_pool_calls.hpp"
#include "support/gate.hpp"
#include "support/other_thread.hpp"
#include "support/sanitizers.hpp"
#include "support/timeouts.hpp"
#include "support/unhandled_log.hpp"

namespace cadre::test {
namespace {

using namespace std::chrono_literals;

constexpr bool sanitized = under_asan || under_tsan;
constexpr std::size_t large = std::size_t{4} << 20;  // several times what a channel holds

std::string echo(std::string text) { return text; }

int compute_for(std::chrono::microseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
  }
  return 42;
}

std::atomic<bool> signal_came{false};
static_assert(std::atomic<bool>::is_always_lock_free);

/// While it lives, SIGUSR1 sets that, and interrupts what can be interrupted.
class interrupting_signal {
 public:
  interrupting_signal() {
    signal_came = false;
    struct sigaction sets {};
    sets.sa_handler = [](int) { signal_came = true; };
    ::sigaction(SIGUSR1, &sets, &before_);
  }
  ~interrupting_signal() { ::sigaction(SIGUSR1, &before_, nullptr); }
  interrupting_signal(const interrupting_signal&) = delete;
  interrupting_signal& operator=(const interrupting_signal&) = delete;

  /// Returns when the thread has heard it.
  static void hit(pid_t thread) {
    ::tgkill(::getpid(), thread, SIGUSR1);
    while (!signal_came) std::this_thread::yield();
  }

 private:
  struct sigaction before_ {};
};

}  // namespace

TEST(process_pool_race, f8_calls_submitted_while_workers_die_all_run) {
  process_pool_executor pool{2};
  std::atomic<int> wrong{0};
  const auto submit = [&] {
    for (int i = 0; i < 25; ++i) {
      const auto dies = pool.submit(&end, way::is_killed);
      const auto runs = pool.submit(&add_one, i);
      wrong += runs.get_for(long_time) == i + 1 ? 0 : 1;
      wrong += dies.exception() != nullptr ? 0 : 1;
    }
  };

  {
    const std::jthread one{submit};
    const std::jthread other{submit};
  }

  EXPECT_EQ(wrong, 0);
}

TEST(process_pool_race, f15_a_hundred_thousand_calls_behind_one_all_run) {
  constexpr int count = sanitized ? 5'000 : 100'000;
  const gate here;
  process_pool_executor pool{1};
  const auto first = pool.submit(&pass, here.handle(), 1);
  std::vector<future<int>> calls;

  for (int i = 0; i < count; ++i) calls.push_back(pool.submit(&add_one, i));
  here.open();

  int right = 0;
  for (int i = 0; i < count; ++i) {
    right += calls[static_cast<std::size_t>(i)].get_for(long_time) == i + 1 ? 1 : 0;
  }
  EXPECT_EQ(right, count);
}

TEST(process_pool_race, f17_kill_workers_while_large_calls_are_sent) {
  const gate here;
  process_pool_executor pool{1};
  const auto running = pool.submit(&hang, here.handle());
  here.await_arrivals(1);
  std::vector<future<std::string>> sent;
  for (int i = 0; i < 4; ++i) sent.push_back(pool.submit(&echo, std::string(large, 'x')));

  pool.kill_workers();
  pool.shutdown();

  EXPECT_EQ(death_of(running).signal, SIGKILL);
  for (const auto& f : sent) EXPECT_TRUE(f.cancelled() || f.exception() != nullptr);
}

// Nobody reads what the worker sends, so that it cannot read what it is sent.
TEST(process_pool_race, f18_submit_does_not_wait_for_results_to_be_taken) {
  const gate begin;
  const gate in_callback;
  process_pool_executor pool{1};
  pool.submit(&pass, begin.handle(), 0).add_done_callback([&](const auto&) {
    pass(in_callback.handle(), 0);
  });
  std::vector<future<std::string>> echoes;
  begin.open();
  in_callback.await_arrivals(1);

  for (int i = 0; i < 4; ++i) echoes.push_back(pool.submit(&echo, std::string(large, 'x')));

  in_callback.open();
  for (const auto& f : echoes) EXPECT_EQ(f.get_for(medium_time).size(), large);
}

TEST(process_pool_race, f26_shutdown_while_calls_fail_to_be_encoded) {
  for (int i = 0; i < 20; ++i) {
    process_pool_executor pool{1};
    const gate here;
    std::vector<future<trap>> failing;
    std::jthread submitter{[&] {
      arrive(here.handle(), 0);
      try {
        for (;;) {
          failing.push_back(pool.submit(&meet_traps, trap{way::throws, way::harmless},
                                        way::harmless, way::harmless, way::harmless));
        }
      } catch (const shutdown_error&) {
      }
    }};
    here.await_arrivals(1);

    pool.shutdown();

    submitter.join();
    for (const auto& f : failing) EXPECT_EQ(failure_of<std::domain_error>(f), "thrown on purpose");
  }
}

TEST(process_pool_race, f27_shutdown_from_a_done_callback_returns) {
  const gate begin;
  const gate returned;
  process_pool_executor pool{1};
  pool.submit(&pass, begin.handle(), 0).add_done_callback([&](const auto&) {
    pool.shutdown({.cancel_pending = true});
    arrive(returned.handle(), 0);
  });
  const gate there;
  const auto running = pool.submit(&pass, there.handle(), 42);

  begin.open();
  returned.await_arrivals(1);
  there.open();

  EXPECT_TRUE(running.wait_for(medium_time));
  EXPECT_THROW(static_cast<void>(pool.submit(&add_one, 1)), shutdown_error);
}

TEST(process_pool_race, f28_a_signal_in_submit_lets_a_thread_shut_down) {
  const interrupting_signal signal;
  const gate here;
  auto options = workers(1);
  options.max_pending = 1;
  process_pool_executor pool{std::move(options)};
  const auto running = pool.submit(&pass, here.handle(), 42);
  std::atomic<pid_t> thread{0};
  bool refused = false;
  other_thread submits{[&] {
    thread = ::gettid();
    try {
      static_cast<void>(pool.submit(&add_one, 1));
    } catch (const shutdown_error&) {
      refused = true;
    }
  }};
  submits.await_asleep();

  signal.hit(thread);
  EXPECT_TRUE(submits.await_asleep()) << "submit did not go on waiting for room";
  pool.shutdown({.wait = false});
  submits.join();

  EXPECT_TRUE(refused);
  here.open();
  EXPECT_EQ(running.get_for(medium_time), 42);
}

TEST(process_pool_race, f29_after_cancel_pending_every_wait_returns) {
  const gate here;
  process_pool_executor pool{1};
  std::vector<future<int>> all{pool.submit(&pass, here.handle(), 0)};
  here.await_arrivals(1);
  for (int i = 0; i < 10; ++i) all.push_back(pool.submit(&add_one, i));

  pool.shutdown({.wait = false, .cancel_pending = true});
  here.open();

  EXPECT_EQ(cadre::wait(all).done, all);
  std::size_t reported = 0;
  for (const auto& f : cadre::as_completed(all)) reported += f.done() ? 1 : 0;
  EXPECT_EQ(reported, all.size());
}

// The order to end is behind a call that does not fit the channel, whose reader will never read.
TEST(process_pool_race, f30_shutdown_returns_when_the_reader_of_a_full_channel_dies) {
  const gate here;
  process_pool_executor pool{1};
  const auto running = pool.submit(&hang, here.handle());
  here.await_arrivals(1);
  const auto sent = pool.submit(&echo, std::string(large, 'x'));
  const int pid = pool.worker_pids().at(0);
  other_thread closes{[&] { pool.shutdown(); }};
  closes.await_asleep();

  ::kill(pid, SIGKILL);
  closes.join();

  EXPECT_EQ(death_of(running).signal, SIGKILL);
  EXPECT_EQ(sent.get_for(medium_time).size(), large);
}

TEST(process_pool_race, f31_shutdown_twice_at_once_waits_in_both) {
  const gate here;
  process_pool_executor pool{1};
  const auto f = pool.submit(&pass, here.handle(), 42);
  std::atomic<int> saw_it_done{0};
  const auto close = [&] {
    pool.shutdown();
    saw_it_done += f.done() ? 1 : 0;
  };
  other_thread one{close};
  other_thread other{close};

  one.await_asleep();
  other.await_asleep();
  here.open();
  one.join();
  other.join();

  EXPECT_EQ(saw_it_done, 2);
  EXPECT_TRUE(pool.worker_pids().empty());
}

TEST(process_pool_race, f32_the_destructor_waits_for_a_blocked_callback) {
  const gate begin;
  const gate in_callback;
  auto pool = std::make_unique<process_pool_executor>(1);
  bool called = false;
  pool->submit(&pass, begin.handle(), 0).add_done_callback([&](const auto&) {
    pass(in_callback.handle(), 0);
    called = true;
  });
  begin.open();
  in_callback.await_arrivals(1);
  bool called_before_the_end = false;
  other_thread ender{[&] {
    pool.reset();
    called_before_the_end = called;
  }};

  ender.await_asleep();
  in_callback.open();
  ender.join();

  EXPECT_TRUE(called_before_the_end);
}

// All that is not ours and once ran on the collector: callbacks, and what decodes.
TEST(process_pool_race, f33_the_collector_survives_what_throws_on_it) {
  const unhandled_log log;
  const gate begin;
  process_pool_executor pool{1};
  const auto calls_back = pool.submit(&pass, begin.handle(), 1);
  calls_back.add_done_callback([](const auto&) { throw std::runtime_error{"on the collector"}; });
  auto throws = pool.submit(&meet_traps, trap{}, way::harmless, way::harmless, way::throws);
  const gate both;
  throws.add_done_callback([&](const auto&) { arrive(both.handle(), 0); });

  begin.open();
  both.await_arrivals(1);  // and no thread waits for a call, who would read the answers

  EXPECT_EQ(failure_of<std::domain_error>(throws), "thrown on purpose");
  EXPECT_EQ(pool.submit(&add_one, 1).get_for(medium_time), 2);
  pool.shutdown();  // which waits for callbacks
  ASSERT_EQ(log.entries().size(), 1U);
  EXPECT_NE(log.entries()[0].find("on the collector"), std::string::npos);
}

TEST(process_pool_race, f44_a_result_and_its_timeout_at_once_have_one_outcome) {
  process_pool_executor pool{1};
  std::atomic<int> callbacks{0};
  constexpr int count = 100;
  int ended = 0;
  for (int i = 0; i < count; ++i) {
    const auto time = std::chrono::microseconds{2000 + i * 40};
    auto f = pool.submit({.timeout = 2500us, .grace = 0us}, &compute_for, time);
    f.add_done_callback([&](const auto&) { ++callbacks; });
    const auto next = pool.submit(&add_one, i);
    try {
      EXPECT_EQ(f.get_for(medium_time), 42);
    } catch (const timeout_error& e) {
      EXPECT_NE(std::string{e.what()}.find("its timeout"), std::string::npos) << e.what();
      ++ended;
    }
    EXPECT_EQ(next.get_for(medium_time), i + 1);
  }
  pool.shutdown();

  EXPECT_EQ(callbacks, count);
  EXPECT_GT(ended, 0);
}

// The queue is never empty, so that no worker is ever idle.
TEST(process_pool_race, calls_sent_behind_one_that_hangs_run_elsewhere) {
  const gate here;
  process_pool_executor pool{2};
  const auto hangs = pool.submit(&pass, here.handle(), 1);
  here.await_arrivals(1);
  std::atomic<unsigned> in_pool{0};
  const auto submit = [&] {
    ++in_pool;
    auto f = pool.submit(&compute_for, 1000us);
    f.add_done_callback([&](const auto&) { --in_pool; });
    return f;
  };
  std::vector<future<int>> first;
  for (int i = 0; i < 20; ++i) first.push_back(submit());
  std::jthread others{[&](const std::stop_token& stop) {
    while (!stop.stop_requested()) in_pool < 200 ? void(submit()) : std::this_thread::yield();
  }};

  const auto deadline = std::chrono::steady_clock::now() + medium_time;
  for (const auto& f : first) EXPECT_TRUE(f.wait_until(deadline));
  others = {};

  EXPECT_FALSE(hangs.done());
  here.open();
}

}  // namespace cadre::test
