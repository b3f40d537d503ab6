// SPDX-License-Identifier: MIT
// Workers are as the program is at their start, not as it was when its first pool began. In each test a
// pool of before lives on, as a global one would, and with it the zygote that was booted then.
#include <cadre/process_pool_executor.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fault/process_pool_calls.hpp"
#include "support/process.hpp"
#include "support/sanitizers.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

namespace fs = std::filesystem;

/// What a call says in a worker of a new pool.
template <typename Result, typename... Parameters, typename... Arguments>
Result in_new_worker(process_pool_options options, Result (*call)(Parameters...),
                     Arguments... arguments) {
  process_pool_executor pool{std::move(options)};
  return pool.submit(call, arguments...).get_for(long_time);
}

/// Of a child program: 0 if workers of each method say what this process says itself.
template <typename Result>
int workers_say_the_same(Result (*call)(), bool executed = true) {
  int different = 0;
  for (const start_method how : methods) {
    if (how == start_method::exec && !executed) continue;
    if (in_new_worker(one_worker_by(how), call) == call()) continue;
    std::cout << "start method " << static_cast<int>(how) << ": the worker differs\n";
    different = 1;
  }
  return different;
}

/// A pool of before, whose zygote lives as long as this process.
void begin_a_pool() {
  static process_pool_executor pool{1};
  pool.submit(&own_pid).get();
}

/// An empty directory of this process's own, and deleted with it.
struct own_directory {
  explicit own_directory(const char* name)
      : path{fs::temp_directory_path() / (name + std::to_string(::getpid()))} {
    fs::create_directory(path);
  }
  ~own_directory() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  const fs::path path;
};

bool is_root() { return ::geteuid() == 0; }

// --- calls ---

std::string directory() { return fs::read_symlink("/proc/self/cwd").string(); }

std::vector<std::string> variables() {
  std::vector<std::string> all;
  for (char** variable = environ; *variable != nullptr; ++variable) all.emplace_back(*variable);
  return all;
}

std::string variable(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  return value == nullptr ? "none" : value;
}

unsigned file_mask() {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return mask;
}

std::vector<std::pair<std::uint64_t, std::uint64_t>> limits() {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> all;
  for (int resource = 0; resource < RLIM_NLIMITS; ++resource) {
    rlimit present{};
    ::getrlimit(static_cast<__rlimit_resource_t>(resource), &present);
    all.emplace_back(present.rlim_cur, present.rlim_max);
  }
  return all;
}

int write_to_a_closed_pipe() {
  int ends[2];
  if (::pipe(ends) != 0) return -1;
  ::close(ends[0]);
  return ::write(ends[1], "x", 1) < 0 ? errno : 0;
}

/// Of SIGUSR1: 0 is the default, 1 ignored, 2 a handler.
int disposition() {
  struct sigaction present {};
  ::sigaction(SIGUSR1, nullptr, &present);
  return present.sa_handler == SIG_DFL ? 0 : present.sa_handler == SIG_IGN ? 1 : 2;
}

int processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  ::sched_getaffinity(0, sizeof set, &set);
  return CPU_COUNT(&set);
}

int policy() { return ::sched_getscheduler(0); }
int niceness() { return ::getpriority(PRIO_PROCESS, 0); }

std::string text_of(const std::string& path) {
  std::ifstream file{path};
  std::string text;
  file >> text;
  return text;
}

// --- child programs ---

const child_program changes_its_directory{"changes its directory between pools", [] {
                                            const own_directory now{"now"};
                                            {
                                              const own_directory before{"before"};
                                              fs::current_path(before.path);
                                              begin_a_pool();
                                            }
                                            fs::current_path(now.path);
                                            return workers_say_the_same(&directory);
                                          }};

const child_program is_in_a_deleted_directory{"is in a deleted directory", [] {
                                                // GoogleTest does not start there.
                                                constexpr bool executed = false;
                                                begin_a_pool();
                                                {
                                                  const own_directory deleted{"deleted"};
                                                  fs::current_path(deleted.path);
                                                }
                                                return workers_say_the_same(&directory, executed);
                                              }};

const child_program may_not_read_its_directory{"may not read its directory", [] {
                                                 begin_a_pool();
                                                 const own_directory here{"unreadable"};
                                                 fs::current_path(here.path);
                                                 ::chmod(".", 0100);
                                                 return workers_say_the_same(&directory);
                                               }};

const child_program uses_relative_paths{
    "uses relative paths", [] {
      begin_a_pool();
      const own_directory here{"relative"};
      fs::current_path(here.path);
      fs::create_directory("work");
      std::ofstream{"readable"} << "text";
      for (const start_method how : methods) {
        process_pool_options options = one_worker_by(how);
        options.worker.working_directory = "work";
        options.worker.restrict_files = true;
        options.worker.readable_paths = {"readable", "/proc", "/usr", "/lib", "/etc"};
        process_pool_executor pool{std::move(options)};
        if (pool.submit(&directory).get() != (here.path / "work").string()) return 1;
        if (pool.submit(&text_of, std::string{"../readable"}).get() != "text") return 2;
      }
      return 0;
    }};

const child_program begins_without_environment{"begins without environment", [] {
                                                 ::clearenv();
                                                 begin_a_pool();
                                                 return 0;
                                               }};

const child_program changes_its_environment{"changes its environment between pools", [] {
                                              ::setenv("CADRE_TEST_SECRET", "secret", 1);
                                              ::setenv("CADRE_TEST_OLD", "old", 1);
                                              begin_a_pool();
                                              ::unsetenv("CADRE_TEST_SECRET");
                                              ::setenv("CADRE_TEST_OLD", "new", 1);
                                              ::setenv("CADRE_TEST_NEW", "new", 1);
                                              return workers_say_the_same(&variables);
                                            }};

const child_program has_a_large_environment{
    "has a large environment", [] {
      begin_a_pool();
      for (int i = 0; i < 40; ++i) {
        const std::string name = "CADRE_TEST_LARGE_" + std::to_string(i);
        ::setenv(name.c_str(), std::string(50'000, 'x').c_str(), 1);
      }
      return workers_say_the_same(&variables);
    }};

const child_program has_no_environment{"has no environment", [] {
                                         begin_a_pool();
                                         ::clearenv();
                                         static char* none[] = {nullptr};
                                         environ = none;
                                         return workers_say_the_same(&variables);
                                       }};

const child_program changes_its_umask{"changes its umask between pools", [] {
                                        begin_a_pool();
                                        ::umask(0157);
                                        return workers_say_the_same(&file_mask);
                                      }};

const child_program changes_its_limits{
    "changes its limits between pools", [] {
      begin_a_pool();
      for (const auto resource : {RLIMIT_CORE, RLIMIT_NOFILE, RLIMIT_MEMLOCK, RLIMIT_STACK}) {
        rlimit present{};
        ::getrlimit(resource, &present);
        present.rlim_cur = std::min<rlim_t>(present.rlim_cur / 2, 16 << 20);
        present.rlim_max = std::min<rlim_t>(present.rlim_max, 17 << 20);
        if (::setrlimit(resource, &present) != 0) return 2;
      }
      return workers_say_the_same(&limits);
    }};

const child_program ignores_sigpipe{"ignores SIGPIPE", [] {
                                      begin_a_pool();
                                      ::signal(SIGPIPE, SIG_IGN);
                                      return workers_say_the_same(&write_to_a_closed_pipe);
                                    }};

const child_program handles_a_signal{"handles a signal", [] {
                                       ::signal(SIGUSR1, [](int) {});
                                       for (const start_method how : methods) {
                                         if (in_new_worker(one_worker_by(how), &disposition) != 0) {
                                           return 1 + static_cast<int>(how);
                                         }
                                       }
                                       return 0;
                                     }};

/// Submits the first call of a new pool from a thread that is bound to one processor, and has another
/// scheduling policy and, if `nice` is not 0, niceness.
template <typename Result>
Result said_to_a_strange_submitter(start_method how, Result (*call)(), int nice) {
  process_pool_executor pool{one_worker_by(how)};
  Result said{};
  std::thread{[&] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<unsigned>(::sched_getcpu()), &one);
    ::sched_setaffinity(0, sizeof one, &one);
    const sched_param parameters{};
    ::sched_setscheduler(0, SCHED_BATCH, &parameters);
    if (nice != 0) ::setpriority(PRIO_PROCESS, 0, nice);
    said = pool.submit(call).get_for(long_time);
  }}.join();
  return said;
}

template <typename Result>
int workers_are_as_the_maker(Result (*call)(), int nice) {
  for (const start_method how : methods) {
    if (said_to_a_strange_submitter(how, call, nice) != call()) return 1 + static_cast<int>(how);
  }
  return 0;
}

const child_program has_a_bound_submitter{"has a submitter that is bound to a processor",
                                          [] { return workers_are_as_the_maker(&processors, 0); }};
const child_program has_a_batch_submitter{"has a submitter of another scheduling policy",
                                          [] { return workers_are_as_the_maker(&policy, 0); }};
const child_program has_a_nice_submitter{"has a submitter that is nice",
                                         [] { return workers_are_as_the_maker(&niceness, 15); }};

void expect_good(const child_program& program) {
  const ended child = program.run();

  EXPECT_EQ(child.exit_code, 0) << child;
}

}  // namespace

TEST(process_surroundings, working_directory_is_that_of_now) { expect_good(changes_its_directory); }

TEST(process_surroundings, working_directory_may_be_deleted) {
  expect_good(is_in_a_deleted_directory);
}

TEST(process_surroundings, working_directory_may_be_unreadable) {
  expect_good(may_not_read_its_directory);
}

TEST(process_surroundings, relative_paths_are_the_programs) {
  if (under_tsan || under_asan) GTEST_SKIP() << "sanitizers need other files";
  expect_good(uses_relative_paths);
}

TEST(process_surroundings, environment_may_be_none_from_the_begin) {
  expect_good(begins_without_environment);
}

TEST(process_surroundings, environment_is_that_of_now) { expect_good(changes_its_environment); }

TEST(process_surroundings, environment_may_be_large) { expect_good(has_a_large_environment); }

TEST(process_surroundings, environment_may_be_empty) { expect_good(has_no_environment); }

TEST(process_surroundings, environment_can_be_without_a_variable) {
  ::setenv("CADRE_TEST_UNWANTED", "here", 1);
  process_pool_options options = workers(1);
  options.worker.unset_environment = {"CADRE_TEST_UNWANTED"};

  const std::string said =
      in_new_worker(std::move(options), &variable, std::string{"CADRE_TEST_UNWANTED"});
  ::unsetenv("CADRE_TEST_UNWANTED");

  EXPECT_EQ(said, "none");
}

TEST(process_surroundings, umask_is_that_of_now) { expect_good(changes_its_umask); }

TEST(process_surroundings, limits_are_those_of_now) { expect_good(changes_its_limits); }

TEST(process_surroundings, ignored_signals_are_ignored) { expect_good(ignores_sigpipe); }

TEST(process_surroundings, handled_signals_have_their_default_action) {
  expect_good(handles_a_signal);
}

TEST(process_surroundings, processors_are_those_of_the_pools_maker) {
  if (processors() < 2) GTEST_SKIP() << "there is one processor";
  expect_good(has_a_bound_submitter);
}

TEST(process_surroundings, scheduling_policy_is_that_of_the_pools_maker) {
  expect_good(has_a_batch_submitter);
}

TEST(process_surroundings, niceness_is_that_of_the_pools_maker) {
  if (!is_root()) GTEST_SKIP() << "only root can make a thread less nice";
  expect_good(has_a_nice_submitter);
}

}  // namespace cadre::test
