// SPDX-License-Identifier: MIT
// Workers that lie, that do not end, that are stopped, that die before their first word: nothing of
// that holds the pool, and no other call pays for it.
#include <cadre/process_pool_executor.hpp>
#include <cadre/this_worker.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "fault/process_pool_calls.hpp"
#include "support/gate.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

void before_first_word();

}  // namespace
}  // namespace cadre::test

/// Instead of the C library's: a worker makes its memory after it was started, and before its hello.
extern "C" int memfd_create(const char* name, unsigned flags) noexcept {
  cadre::test::before_first_word();
  return static_cast<int>(::syscall(SYS_memfd_create, name, flags));
}

namespace cadre::test {
namespace {

using std::chrono::milliseconds;
using clock = std::chrono::steady_clock;

// --- workers that lie about claims ---

enum class lie : std::uint8_t { all_taken, all_unknown, all_posted };

/// Of the claims of this worker's calls, in the one page that it shares with the pool.
void scribble(lie what) {
  std::FILE* maps = std::fopen("/proc/self/maps", "r");
  char line[512];
  while (std::fgets(line, sizeof line, maps) != nullptr) {
    unsigned long begin = 0;
    unsigned long end = 0;
    char access[8];
    if (std::strstr(line, "memfd:cadre") == nullptr ||
        std::sscanf(line, "%lx-%lx %7s", &begin, &end, access) != 3 || end - begin != 4096 ||
        access[1] != 'w') {
      continue;
    }
    auto* claims = reinterpret_cast<volatile std::uint64_t*>(begin);
    for (int i = 0; i < 256; ++i) {
      const std::uint64_t number = claims[i] >> 2;
      const auto state = claims[i] & 3;
      if (number == 0 || state == 0 || state == 3) continue;
      if (what == lie::all_taken) claims[i] = number << 2 | 2;
      if (what == lie::all_unknown) claims[i] = ~std::uint64_t{0};
      if (what == lie::all_posted) claims[i] = number << 2 | 1;
    }
  }
  std::fclose(maps);
}

int lie_and_hang(gate_handle at, lie what) {
  pass(at, 0);  // the next calls have been sent meanwhile
  scribble(what);
  arrive(at, 0);
  for (;;) ::pause();
}

// --- workers that do not end ---

struct hanging_context {
  ~hanging_context() {
    for (;;) ::pause();
  }
};
int leave_a_context_that_hangs() {
  ::signal(SIGTERM, SIG_IGN);
  this_worker::emplace_context<hanging_context>();
  return ::getpid();
}

/// When the gate opens, while the worker has no call.
int stop_afterwards(gate_handle told) {
  std::thread{[told] {
    pass(told, 0);
    ::raise(SIGSTOP);
  }}.detach();
  return ::getpid();
}

process_pool_options ending_soon(int count) {
  auto options = workers(count);
  options.end_grace = short_time;
  return options;
}

bool is_gone_soon(int pid) {
  const auto deadline = clock::now() + medium_time;
  while (::kill(pid, 0) == 0) {
    if (clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

// --- workers that end badly before their first word ---

/// What the next workers are to do when they are forked; in memory of all processes.
struct before_hello {
  std::atomic<int> die;
  std::atomic<int> stop;
};
before_hello& plan() {
  static auto* const page = static_cast<before_hello*>(::mmap(
      nullptr, sizeof(before_hello), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  return *page;
}
bool take_one(std::atomic<int>& of) {
  int left = of.load();
  while (left > 0 && !of.compare_exchange_weak(left, left - 1)) {
  }
  return left > 0;
}

/// The pool forks such workers from this process, whose plan they see.
void before_first_word() {
  static const int owner = ::getpid();
  if (::getpid() == owner) return;
  if (take_one(plan().die)) ::raise(SIGKILL);
  if (take_one(plan().stop)) ::raise(SIGSTOP);
}

process_pool_options forking(int count) {
  auto options = workers(count);
  options.start_method = start_method::fork;
  return options;
}

void arrive_and_wait(gate_handle at) { pass(at, 0); }

}  // namespace

TEST(process_pool_hold, a_time_limit_holds_though_the_worker_claims_later_calls) {
  const gate here;
  process_pool_executor pool{1};
  pool.submit(&add_one, 0).get();  // the worker is there, and takes several calls at once
  const auto evil = pool.submit({.timeout = short_time, .grace = milliseconds{10}}, &lie_and_hang,
                                here.handle(), lie::all_taken);
  here.await_arrivals(1);
  const auto next = pool.submit(&add_one, 1);
  here.open();

  // By its limit; or before, when a machine is slow, since its claims cannot be: worker_died then.
  ASSERT_TRUE(evil.wait_for(medium_time));
  EXPECT_NE(evil.exception(), nullptr);
  EXPECT_EQ(next.get_for(medium_time), 2);
}

TEST(process_pool_hold, calls_do_not_stay_behind_a_slow_one_whose_worker_claims_them) {
  for (const lie what : {lie::all_taken, lie::all_unknown}) {
    const gate here;
    process_pool_executor pool{1};
    pool.submit(&add_one, 0).get();
    const auto evil = pool.submit(&lie_and_hang, here.handle(), what);  // without a time limit
    here.await_arrivals(1);
    const auto next = pool.submit(&add_one, 1);
    here.open();

    EXPECT_EQ(next.get_for(medium_time), 2) << int(what);
    EXPECT_NE(death_of(evil).hint.find("damaged"), std::string::npos);
  }
}

TEST(process_pool_hold, a_worker_that_denies_its_call_holds_no_place_when_that_was_cancelled) {
  const gate here;
  process_pool_executor pool{ending_soon(1)};
  auto evil = pool.submit(&lie_and_hang, here.handle(), lie::all_posted);
  here.await_arrivals(1);
  here.open();
  here.await_arrivals(2);

  EXPECT_TRUE(evil.cancel());  // as far as anybody can tell

  EXPECT_EQ(pool.submit(&add_one, 1).get_for(medium_time), 2);
}

TEST(process_pool_hold, a_call_that_denies_to_run_has_a_time_limit_nevertheless) {
  const gate here;
  process_pool_executor pool{1};
  const auto evil = pool.submit({.timeout = small_time, .grace = milliseconds{10}}, &lie_and_hang,
                                here.handle(), lie::all_posted);
  here.await_arrivals(1);
  here.open();

  failure_of<timeout_error>(evil);
}

TEST(process_pool_hold, a_worker_that_does_not_end_is_killed_and_shutdown_returns) {
  process_pool_executor pool{ending_soon(1)};
  const int pid = pool.submit(&leave_a_context_that_hangs).get();

  const auto report = pool.shutdown({.deadline = medium_time});

  EXPECT_TRUE(report.complete);
  EXPECT_TRUE(is_gone_soon(pid));
}

TEST(process_pool_hold, a_worker_that_stops_itself_does_not_keep_the_destructor) {
  const gate answered;
  auto pool = std::make_unique<process_pool_executor>(ending_soon(1));
  const int pid = pool->submit(&stop_afterwards, answered.handle()).get();
  answered.open();

  const auto begin = clock::now();
  pool.reset();

  EXPECT_LT(clock::now() - begin, medium_time);
  EXPECT_TRUE(is_gone_soon(pid));
}

TEST(process_pool_hold, a_deadline_of_shutdown_ends_workers_that_have_no_call) {
  process_pool_executor pool{1};  // whose end_grace is long
  pool.submit(&leave_a_context_that_hangs).get();

  const auto begin = clock::now();
  const auto report = pool.shutdown({.deadline = short_time, .grace = small_time});

  EXPECT_TRUE(report.complete);
  EXPECT_LT(clock::now() - begin, short_time + small_time + medium_time / 2);
}

TEST(process_pool_hold, terminate_workers_ends_those_that_ignore_sigterm) {
  process_pool_executor pool{ending_soon(1)};
  const int pid = pool.submit(&leave_a_context_that_hangs).get();

  pool.terminate_workers();

  EXPECT_TRUE(is_gone_soon(pid));
}

TEST(process_pool_hold, a_worker_that_does_not_end_leaves_its_place_at_once) {
  auto options = workers(1);
  options.max_calls_per_worker = 1;
  process_pool_executor pool{std::move(options)};
  const int pid = pool.submit(&leave_a_context_that_hangs).get();

  const auto next = pool.submit({.timeout = medium_time}, &own_pid);

  EXPECT_NE(next.get_for(medium_time), pid);
  pool.kill_workers();
  EXPECT_TRUE(is_gone_soon(pid));
}

TEST(process_pool_hold, a_time_limit_holds_for_a_call_sent_to_a_stopped_worker) {
  process_pool_executor pool{1};
  const int pid = pool.submit(&own_pid).get();
  ::kill(pid, SIGSTOP);

  const auto f = pool.submit({.timeout = medium_time}, &own_pid);

  // It has not begun there, so it runs elsewhere, long before its time is over.
  EXPECT_NE(f.get_for(medium_time), pid);
}

TEST(process_pool_hold, a_worker_that_stops_before_its_hello_is_replaced) {
  plan().stop = 1;
  process_pool_executor pool{forking(1)};

  EXPECT_EQ(pool.submit({.timeout = medium_time}, &add_one, 1).get_for(medium_time), 2);
}

TEST(process_pool_hold, shutdown_does_not_wait_for_a_worker_that_never_says_hello) {
  plan().stop = 1;
  process_pool_executor pool{forking(1)};
  const auto f = pool.submit(&add_one, 1);
  while (pool.worker_pids().empty()) std::this_thread::yield();

  pool.kill_workers();

  EXPECT_TRUE(pool.shutdown({.deadline = medium_time}).complete);
  plan().stop = 0;
}

TEST(process_pool_hold, workers_that_die_before_their_first_word_cost_no_call) {
  plan().die = 3;
  process_pool_executor pool{forking(2)};
  std::vector<future<int>> calls;
  for (int i = 0; i < 100; ++i) calls.push_back(pool.submit(&add_one, i));

  for (int i = 0; i < 100; ++i) EXPECT_EQ(calls[std::size_t(i)].get_for(medium_time), i + 1);
  EXPECT_EQ(plan().die, 0);
}

TEST(process_pool_hold, workers_that_always_die_before_their_first_word_break_the_pool) {
  plan().die = 1'000'000;
  process_pool_executor pool{forking(1)};

  const std::string why = failure_of<broken_executor>(pool.submit(&add_one, 1));

  EXPECT_NE(why.find("die before they can run a call"), std::string::npos) << why;
  EXPECT_NE(why.find("SIGKILL"), std::string::npos) << why;
  plan().die = 0;
}

TEST(process_pool_hold, while_an_initializer_runs_no_more_workers_start_than_calls_need) {
  const gate here;
  auto options = workers(8);
  options.initializer = bind(&arrive_and_wait, here.handle());
  process_pool_executor pool{std::move(options)};

  std::vector<future<int>> calls;
  for (int i = 0; i < 3; ++i) calls.push_back(pool.submit(&add_one, i));
  here.await_arrivals(3);
  EXPECT_FALSE(calls[0].wait_for(short_time));

  EXPECT_EQ(pool.stats().workers, 3U);
  EXPECT_EQ(here.arrivals(), 3U);
  here.open();
  for (auto& f : calls) f.get_for(medium_time);
}

}  // namespace cadre::test
