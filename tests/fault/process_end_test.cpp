// SPDX-License-Identifier: MIT
// How workers end when nothing is wrong: in good order, as programs end, also when somebody stops the
// whole service.
#include <cadre/process_pool_executor.hpp>

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "fault/process_pool_calls.hpp"
#include "ipc/descriptor.hpp"
#include "support/gate.hpp"
#include "support/process.hpp"
#include "support/sanitizers.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

namespace fs = std::filesystem;

/// A name that no other test's process has, in a place where all may write.
std::string fresh_file(const char* name) {
  return (fs::temp_directory_path() / (std::string{name} + '-' + std::to_string(::getpid())))
      .string();
}

std::size_t lines_in(const std::string& path) {
  std::ifstream file{path};
  std::size_t lines = 0;
  for (std::string line; std::getline(file, line);) ++lines;
  return lines;
}

/// Waits until that process is gone.
bool is_gone(int pid) {
  const ipc::descriptor watched{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
  if (!watched) return true;
  pollfd dead{watched.get(), POLLIN, 0};
  return ::poll(&dead, 1, static_cast<int>(long_time.count())) == 1;
}

// --- calls ---

/// Writes a line into a log that is flushed when static objects are destroyed.
int log(const std::string& path, int n) {
  static std::ofstream file{path};
  file << "did " << n << '\n';
  return ::getpid();
}

std::string written_at_exit;

int write_at_exit(const std::string& path) {
  written_at_exit = path;
  std::atexit([] { std::ofstream{written_at_exit} << "ended\n"; });
  return 0;
}

int raise_sigterm() { return ::raise(SIGTERM); }

volatile std::sig_atomic_t handled = 0;

int handle_sigterm() {
  ::signal(SIGTERM, [](int) { handled = 1; });
  return ::getpid();
}

int sigterms() { return handled; }

/// True if SIGTERM is blocked, ignored or caught in a program that a call executes.
bool executed_program_keeps_sigterm() {
  FILE* const out = ::popen("grep -E 'SigIgn|SigCgt|SigBlk' /proc/self/status", "re");
  unsigned long long all = 0;
  unsigned long long bits = 0;
  while (std::fscanf(out, "%*s %llx", &bits) == 1) all |= bits;
  ::pclose(out);
  return (all & 1ULL << (SIGTERM - 1)) != 0;
}

// --- the whole service ---

/// All below `parent`, as in a control group.
void term_all_below(pid_t parent) {
  for (const auto& task : fs::directory_iterator{"/proc/" + std::to_string(parent) + "/task"}) {
    std::ifstream children{task.path() / "children"};
    for (pid_t pid = 0; children >> pid;) {
      term_all_below(pid);
      ::kill(pid, SIGTERM);
    }
  }
}

volatile std::sig_atomic_t stopping = 0;

const child_program is_stopped_as_a_service{
    "is stopped as a whole service while calls run", [] {
      ::signal(SIGTERM, [](int) { stopping = 1; });
      for (const start_method how : methods) {
        const gate here;
        process_pool_executor pool{one_worker_by(how)};
        std::vector<future<int>> calls;
        for (int i = 0; i < 3; ++i) calls.push_back(pool.submit(&pass, here.handle(), i));
        here.await_arrivals(1);
        const int worker = pool.worker_pids().at(0);
        term_all_below(::getpid());
        ::raise(SIGTERM);
        here.open();
        for (int i = 0; i < 3; ++i) {
          if (calls[static_cast<std::size_t>(i)].get_for(long_time) != i) return 1;
        }
        if (!is_gone(worker)) return 2;
      }
      return stopping == 1 ? 0 : 3;
    }};

/// Its destructor leaves a file, in each process that destroys it.
struct leaves_a_file {
  std::string path;
  ~leaves_a_file() {
    if (!path.empty()) std::ofstream{path + std::to_string(::getpid())} << "destroyed\n";
  }
};
leaves_a_file of_the_program;

const child_program has_a_static_object_and_forks{
    "has a static object and a pool that forks", [] {
      of_the_program.path = fresh_file("cadre-static") + '-';
      int worker = 0;
      {
        process_pool_executor pool{one_worker_by(start_method::fork)};
        worker = pool.submit(&own_pid).get();
      }
      const bool destroyed = fs::exists(of_the_program.path + std::to_string(worker));
      of_the_program.path.clear();
      return destroyed ? 1 : 0;
    }};

}  // namespace

TEST(process_end, in_good_order_destroys_static_objects) {
  if (under_asan) GTEST_SKIP() << "a search for leaks would take its place";
  for (const start_method how : {start_method::zygote, start_method::exec}) {
    const std::string path = fresh_file("cadre-log");
    {
      process_pool_executor pool{one_worker_by(how)};
      for (int i = 0; i < 10; ++i) pool.submit(&log, path, i).get_for(long_time);
    }

    EXPECT_EQ(lines_in(path), 10U) << "start method " << static_cast<int>(how);
    fs::remove(path);
  }
}

TEST(process_end, in_good_order_runs_functions_of_atexit) {
  if (under_asan) GTEST_SKIP() << "a search for leaks would take its place";
  const std::string path = fresh_file("cadre-atexit");
  { process_pool_executor{1}.submit(&write_at_exit, path).get_for(long_time); }

  EXPECT_EQ(lines_in(path), 1U);
  fs::remove(path);
}

TEST(process_end, of_a_forked_worker_destroys_no_copies_of_the_programs_objects) {
  const ended child = has_a_static_object_and_forks.run();

  EXPECT_EQ(child.exit_code, 0) << child;
}

TEST(process_end, of_a_whole_service_lets_running_calls_finish) {
  if (under_tsan) GTEST_SKIP() << "ThreadSanitizer holds back signal handlers";
  const ended child = is_stopped_as_a_service.run();

  EXPECT_EQ(child.exit_code, 0) << child;
}

TEST(process_end, by_sigterm_while_idle_is_in_good_order) {
  if (under_tsan || under_asan)
    GTEST_SKIP() << "handlers are held back, static objects not destroyed";
  const std::string path = fresh_file("cadre-idle");
  process_pool_executor pool{1};
  const int worker = pool.submit(&log, path, 1).get_for(long_time);

  ::kill(worker, SIGTERM);

  EXPECT_TRUE(is_gone(worker));
  EXPECT_EQ(lines_in(path), 1U);
  EXPECT_NE(pool.submit(&own_pid).get_for(long_time), worker);
  fs::remove(path);
}

TEST(process_end, by_a_sigterm_of_its_own_is_a_death) {
  process_pool_executor pool{1};

  EXPECT_EQ(death_of(pool.submit(&raise_sigterm)).signal, SIGTERM);
}

TEST(process_end, by_the_pool_is_at_once) {
  const gate here;
  process_pool_executor pool{1};
  const auto running = pool.submit(&pass, here.handle(), 1);
  here.await_arrivals(1);

  pool.terminate_workers();

  EXPECT_EQ(death_of(running).signal, SIGTERM);
  here.open();
}

TEST(process_end, is_the_users_where_a_call_has_installed_a_handler) {
  process_pool_executor pool{1};
  const int worker = pool.submit(&handle_sigterm).get_for(long_time);

  ::kill(worker, SIGTERM);

  while (pool.submit(&sigterms).get_for(long_time) == 0) {
  }
  EXPECT_EQ(pool.submit(&own_pid).get_for(long_time), worker);
}

TEST(process_end, is_that_of_any_program_in_what_a_call_executes) {
  process_pool_executor pool{1};

  EXPECT_FALSE(pool.submit(&executed_program_keeps_sigterm).get_for(long_time));
}

}  // namespace cadre::test
