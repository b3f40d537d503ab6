// SPDX-License-Identifier: MIT
// The process pool in programs that hold locks while workers start, fork by themselves, have pools
// in static objects, or are interrupted. The F numbers are those of the project's list of faults.
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "fault/process_pool_calls.hpp"
#include "support/gate.hpp"
#include "support/process.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

std::mutex of_the_program;

int take_its_lock(int n) {
  const std::lock_guard lock{of_the_program};
  return n + 1;
}

/// What of this process has a name in a file system for shared memory or message queues.
std::vector<std::string> named_memory() {
  std::vector<std::string> found;
  const auto add = [&](const std::string& text) {
    for (const char* place : {"/dev/shm", "/dev/mqueue"}) {
      if (text.find(place) != std::string::npos) found.push_back(text);
    }
  };
  std::ifstream maps{"/proc/self/maps"};
  for (std::string line; std::getline(maps, line);) add(line);
  for (const auto& link : std::filesystem::directory_iterator{"/proc/self/fd"}) {
    std::error_code gone;
    add(std::filesystem::read_symlink(link.path(), gone).string());
  }
  return found;
}

// --- child programs ---

const child_program forks_for_itself{"has a fork that outlives the pool", [] {
                                       int held[2];
                                       if (::pipe2(held, O_CLOEXEC) != 0) return 1;
                                       pid_t fork = 0;
                                       {
                                         process_pool_executor pool{2};
                                         if (pool.submit(&add_one, 1).get() != 2) return 2;
                                         fork = ::fork();
                                         if (fork == 0) {
                                           char end = 0;
                                           ::close(held[1]);
                                           static_cast<void>(!::read(held[0], &end, 1));
                                           ::_exit(0);
                                         }
                                         if (pool.submit(&add_one, 2).get() != 3) return 3;
                                       }
                                       // Without waiting: it holds copies of all descriptors.
                                       if (::waitpid(fork, nullptr, WNOHANG) != 0) return 4;
                                       ::close(held[1]);
                                       return ::waitpid(fork, nullptr, 0) == fork ? 0 : 5;
                                     }};

constexpr const char* wants_global_pool = "CADRE_TEST_GLOBAL_POOL";
std::optional<process_pool_executor> global_pool;
const future<int> submitted_before_main = std::getenv(wants_global_pool) != nullptr
                                              ? global_pool.emplace(1).submit(&add_one, 41)
                                              : future<int>{};

/// What was forked from the process that this worker was forked from, but for what watches a terminal.
std::vector<int> its_siblings() {
  std::vector<int> all;
  const std::string tasks = "/proc/" + std::to_string(::getppid()) + "/task";
  for (const auto& thread : std::filesystem::directory_iterator{tasks}) {
    std::ifstream children{thread.path() / "children"};
    for (int pid = 0; children >> pid;) {
      std::string name;
      std::ifstream{"/proc/" + std::to_string(pid) + "/comm"} >> name;
      if (name != "cadre-sentinel") all.push_back(pid);
    }
  }
  return all;
}

const child_program uses_a_global_pool{
    "uses a global process pool", [] {
      const std::vector<int> workers{global_pool->submit(&own_pid).get()};
      if (global_pool->submit(&its_siblings).get() != workers) return 1;
      return submitted_before_main.get() == 42 ? 0 : 2;
    }};

/// In a worker, where the static object has submitted, too.
bool has_failed_here() {
  try {
    submitted_before_main.get();
    return false;
  } catch (const broken_executor&) {
    return true;
  }
}

const child_program asks_what_a_copy_submitted{
    "asks a worker what its static object submitted", [] {
      return submitted_before_main.get() == 42 && global_pool->submit(&has_failed_here).get() ? 0
                                                                                              : 1;
    }};

std::atomic<int> interrupts{0};

const child_program is_interrupted_while_calls_run{
    "is interrupted while calls run", [] {
      ::setpgid(0, 0);
      ::signal(SIGINT, [](int) { ++interrupts; });
      const gate here;
      process_pool_executor pool{2};
      const auto one = pool.submit(&pass, here.handle(), 1);
      const auto other = pool.submit(&pass, here.handle(), 2);
      here.await_arrivals(2);
      ::kill(0, SIGINT);
      here.open();
      if (one.get() + other.get() != 3) return 1;
      return interrupts == 1 && pool.submit(&add_one, 1).get() == 2 ? 0 : 2;
    }};

}  // namespace

// A fork of this process would have the lock taken for ever.
TEST(process_pool_program, f34_a_lock_held_while_workers_start_is_free_in_them) {
  process_pool_executor pool{1};
  const std::lock_guard lock{of_the_program};

  const auto f = pool.submit(&take_its_lock, 1);

  EXPECT_EQ(f.get_for(medium_time), 2);
}

TEST(process_pool_program, f36_the_end_of_a_pool_does_not_wait_for_a_forked_child) {
  const ended child = forks_for_itself.run();

  EXPECT_EQ(child.exit_code, 0) << child;
}

// The process from which workers are forked constructs the same pool.
TEST(process_pool_program, f38_a_global_pool_may_begin_before_main) {
  ::setenv(wants_global_pool, "1", 1);
  const ended child = uses_a_global_pool.run();
  ::unsetenv(wants_global_pool);

  EXPECT_EQ(child.exit_code, 0) << child;
}

// Its workers are executed, since the static pool has a thread in the zygote.
TEST(process_pool_program, what_static_objects_submit_in_copies_of_the_program_fails) {
  ::setenv(wants_global_pool, "1", 1);
  const ended child = asks_what_a_copy_submitted.run();
  ::unsetenv(wants_global_pool);

  EXPECT_EQ(child.exit_code, 0) << child;
}

TEST(process_pool_program, f46_no_memory_has_a_name) {
  process_pool_executor pool{1};

  EXPECT_EQ(pool.submit(&named_memory).get_for(medium_time), std::vector<std::string>{});
  EXPECT_EQ(named_memory(), std::vector<std::string>{});
}

TEST(process_pool_program, f48_an_interrupt_of_the_whole_group_does_not_reach_workers) {
  const ended child = is_interrupted_while_calls_run.run();

  EXPECT_EQ(child.exit_code, 0) << child;
  EXPECT_EQ(child.err, "") << child;
}

}  // namespace cadre::test
