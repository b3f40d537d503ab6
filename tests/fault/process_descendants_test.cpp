// SPDX-License-Identifier: MIT
// What the calls of a process pool start: it ends with the worker, whatever it does to get away.
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fault/other_processes.hpp"
#include "fault/process_pool_calls.hpp"
#include "support/gate.hpp"
#include "support/process.hpp"
#include "support/sanitizers.hpp"
#include "support/timeouts.hpp"
#include "unit/process/one_worker.hpp"

namespace cadre::test {
namespace {

using namespace std::chrono_literals;

int start_child() {
  const pid_t child = ::fork();
  if (child == 0) sleep_for_ever();
  return child;
}

/// Of a session of its own, and nobody's child.
int start_daemon() {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) return 0;
  const pid_t child = ::fork();
  if (child == 0) {
    ::setsid();
    const pid_t grandchild = ::fork();
    if (grandchild == 0) sleep_for_ever();
    static_cast<void>(!::write(ends[1], &grandchild, sizeof grandchild));
    ::_exit(0);
  }
  ::waitpid(child, nullptr, 0);
  pid_t daemon = 0;
  static_cast<void>(!::read(ends[0], &daemon, sizeof daemon));
  ::close(ends[0]);
  ::close(ends[1]);
  return daemon;
}

int start_program() {
  const pid_t child = ::fork();
  if (child == 0) {
    ::execlp("sleep", "sleep", "1000", nullptr);
    ::_exit(1);
  }
  return child;
}

/// As a library does that forks, and forgets that both return.
int fork_and_return() {
  const pid_t child = ::fork();
  return child == 0 ? -1 : child;
}

int fork_and_throw() {
  const pid_t child = ::fork();
  throw std::to_string(child);
}

int never_return() { sleep_for_ever(); }

struct starter_of {
  const char* name;
  int (*start)();
};

class descendants : public testing::TestWithParam<starter_of> {};

/// Of a child program: starts descendants of all kinds in workers, and says which.
void start_all(process_pool_executor& pool) {
  for (int (*start)() : {&start_child, &start_daemon, &start_program}) {
    std::cout << pool.submit(start).get() << ' ' << std::flush;
  }
}

const child_program is_killed_with_descendants{"is killed while its workers have descendants", [] {
                                                 process_pool_executor pool{1};
                                                 start_all(pool);
                                                 ::raise(SIGKILL);
                                                 return 0;
                                               }};

const child_program leaves_descendants_at_exit{"exits while its workers have descendants", [] {
                                                 static process_pool_executor pool{1};
                                                 start_all(pool);
                                                 return 0;
                                               }};

const child_program executes_another_program{
    "executes another program while its workers have descendants", [] {
      process_pool_executor pool{1};
      start_all(pool);
      ::execlp("true", "true", nullptr);
      return 1;
    }};

}  // namespace

TEST_P(descendants, end_with_the_pool) {
  int pid = 0;
  {
    process_pool_executor pool{1};
    pid = pool.submit(GetParam().start).get();
    EXPECT_TRUE(lives(pid));
  }

  EXPECT_FALSE(lives(pid));
}

TEST_P(descendants, end_with_a_pool_of_executed_workers) {
  int pid = 0;
  {
    process_pool_executor pool{one_worker_by(start_method::exec)};
    pid = pool.submit(GetParam().start).get();
  }

  EXPECT_FALSE(lives(pid));
}

TEST_P(descendants, end_with_a_worker_that_is_killed) {
  process_pool_executor pool{1};
  const int worker = pool.submit(&own_pid).get();
  const int pid = pool.submit(GetParam().start).get();

  ::kill(worker, SIGKILL);

  EXPECT_TRUE(dies(pid));
}

TEST_P(descendants, end_with_a_call_that_runs_too_long) {
  process_pool_executor pool{1};
  const int pid = pool.submit(GetParam().start).get();

  auto late = pool.submit({.timeout = short_time, .grace = 1ms}, &never_return);

  EXPECT_THROW(late.get(), timeout_error);
  EXPECT_TRUE(dies(pid));
}

TEST_P(descendants, are_spared_when_another_worker_dies) {
  const gate here;
  process_pool_executor pool{2};
  const auto busy = pool.submit(&hang, here.handle());
  here.await_arrivals(1);  // else it would run elsewhere when its worker is killed
  const int pid = pool.submit(GetParam().start).get();
  const int worker = pool.submit(&own_pid).get();
  const auto all = pool.worker_pids();
  const int other = all[0] == worker ? all[1] : all[0];

  ::kill(other, SIGKILL);

  EXPECT_THROW(busy.get(), worker_died);
  EXPECT_FALSE(dies(pid, short_time));
}

TEST_P(descendants, are_kept_on_demand) {
  int pid = 0;
  {
    process_pool_options options = one_worker_by(start_method::zygote);
    options.worker.keep_descendants = true;
    process_pool_executor keeps{std::move(options)};
    process_pool_executor ends{1};  // has another zygote, which looks for what is left
    pid = keeps.submit(GetParam().start).get();
    const int worker = ends.submit(&own_pid).get();
    ::kill(worker, SIGKILL);
    EXPECT_TRUE(dies(worker));
  }

  EXPECT_FALSE(dies(pid, short_time));
  ::kill(pid, SIGKILL);
}

INSTANTIATE_TEST_SUITE_P(started_as, descendants,
                         testing::Values(starter_of{"child", &start_child},
                                         starter_of{"daemon", &start_daemon},
                                         starter_of{"program", &start_program}),
                         [](const auto& of) { return std::string{of.param.name}; });

TEST(process_descendants, a_copy_of_the_worker_that_returns_from_its_call_ends_at_once) {
  process_pool_executor pool{1};
  const int worker = pool.submit(&own_pid).get();
  for (int i = 0; i < 10; ++i) {
    const int copy = pool.submit(&fork_and_return).get();

    EXPECT_TRUE(dies(copy));
    EXPECT_EQ(pool.submit(&add_one, i).get(), i + 1);
  }
  EXPECT_EQ(pool.submit(&own_pid).get(), worker) << "the worker had to be replaced";
}

TEST(process_descendants, a_copy_of_the_worker_that_throws_from_its_call_ends_at_once) {
  process_pool_executor pool{1};
  const int worker = pool.submit(&own_pid).get();
  for (int i = 0; i < 10; ++i) {
    EXPECT_THROW(pool.submit(&fork_and_throw).get(), remote_error);
    EXPECT_EQ(pool.submit(&add_one, i).get(), i + 1);
  }
  EXPECT_EQ(pool.submit(&own_pid).get(), worker) << "the worker had to be replaced";
}

TEST(process_descendants, end_with_a_program_that_is_killed) {
  const ended child = is_killed_with_descendants.run();

  const auto all = pids_in(child.out);
  EXPECT_EQ(all.size(), 3U) << child;
  for (const pid_t pid : all) EXPECT_TRUE(dies(pid)) << pid;
}

TEST(process_descendants, end_with_a_program_that_exits) {
  const ended child = leaves_descendants_at_exit.run();

  const auto all = pids_in(child.out);
  EXPECT_EQ(all.size(), 3U) << child;
  for (const pid_t pid : all) EXPECT_TRUE(dies(pid)) << pid;
}

TEST(process_descendants, end_with_a_program_that_executes_another_one) {
  const ended child = executes_another_program.run();

  const auto all = pids_in(child.out);
  EXPECT_EQ(all.size(), 3U) << child;
  for (const pid_t pid : all) EXPECT_TRUE(dies(pid)) << pid;
}

}  // namespace cadre::test
