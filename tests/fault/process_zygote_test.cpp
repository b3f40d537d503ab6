// SPDX-License-Identifier: MIT
// A zygote that is stopped, wedged, killed or slow at every step, workers that do not come to their
// first word, and systems without pidfds: all starts, kills and ends return in bounded time.
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "fault/other_processes.hpp"
#include "fault/process_pool_calls.hpp"
#include "process/descendants.hpp"
#include "process/worker_starter.hpp"
#include "support/process.hpp"
#include "support/sanitizers.hpp"
#include "support/timeouts.hpp"
#include "unit/process/one_worker.hpp"

namespace cadre::test {
namespace {

using namespace std::chrono_literals;
using process::failed_start;
using start_method = process::start_method;
using process::worker_spec;
using process::worker_starter;
using bytes = std::span<const std::byte>;
using numbers = std::span<const int>;
using clock = std::chrono::steady_clock;

int exits_with_3(bytes, numbers) { return 3; }
int waits_for_ever(bytes, numbers) { sleep_for_ever(); }

int forks_and_waits(bytes, numbers fds) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(fds[0]);
    sleep_for_ever();
  }
  say(fds, std::to_string(child));
  ::close(fds[0]);
  sleep_for_ever();
}

int never_returns() { sleep_for_ever(); }

int stop_the_zygote_for_ever() {
  for (;;) ::kill(::getppid(), SIGSTOP);
}

pid_t zygote() { return *worker_starter::acquire()->zygote_pid(); }

/// Whatever is done to it but SIGKILL, it does not go on.
void wedge(pid_t process) {
  ASSERT_EQ(::ptrace(PTRACE_SEIZE, process, 0, 0), 0) << std::strerror(errno);
  ASSERT_EQ(::ptrace(PTRACE_INTERRUPT, process, 0, 0), 0) << std::strerror(errno);
  while (state_of_process(process) != 't') ::sched_yield();
}

/// Of the environment, in processes that were executed by one that set it.
bool asked_to(const char* what) {
  const char* const wish = std::getenv("CADRE_TEST_START");
  return wish != nullptr && std::string_view{wish} == what;
}

// In the zygote, when static objects are initialised.
[[maybe_unused]] const int stopped_before_hello =
    asked_to("stop before hello") ? ::raise(SIGSTOP) : 0;

// In a worker that was just forked.
const bool stops_when_forked = asked_to("stop when forked");
const bool dies_when_forked = asked_to("die when forked");

// A file, which is there as long as no zygote has died.
const char* const dies_once = std::getenv("CADRE_TEST_DIES_ONCE");

/// In a zygote that has just forked: it dies when the worker has said hello and waits for calls, and
/// before it has told anybody of that worker.
void die_when_the_worker_waits() {
  pid_t child = 0;
  for (int looks = 0; looks < 50; ++looks) {
    child = process::children_of(::getpid()).back();
    if (state_of_process(child) != 'S') looks = 0;
    ::poll(nullptr, 0, 1);
  }
  std::string name;
  std::getline(std::ifstream{"/proc/" + std::to_string(child) + "/comm"}, name);
  if (name == "cadre-worker" && ::unlink(dies_once) == 0) ::raise(SIGKILL);
}

[[maybe_unused]] const int registered = ::pthread_atfork(
    nullptr,
    [] {
      if (dies_once != nullptr && asked_to("die once")) die_when_the_worker_waits();
    },
    [] {
      if (stops_when_forked) ::raise(SIGSTOP);
      if (dies_when_forked) ::raise(SIGKILL);
    });

int start_one() { return one_worker{&exits_with_3}.death().exit_code.value_or(1); }

const child_program starts_with_a_stopped_zygote{
    "starts with a zygote that stops before hello", [] {
      ::setenv("CADRE_TEST_START", "stop before hello", 1);
      return start_one();
    }};

const child_program starts_a_stopped_worker{"starts a worker that stops when it is forked", [] {
                                              ::setenv("CADRE_TEST_START", "stop when forked", 1);
                                              return start_one();
                                            }};

const child_program starts_a_dying_worker{"starts a worker that dies when it is forked", [] {
                                            ::setenv("CADRE_TEST_START", "die when forked", 1);
                                            try {
                                              start_one();
                                            } catch (const failed_start& e) {
                                              std::cout << e.what();
                                              return e.passing ? 3 : 1;
                                            }
                                            return 2;
                                          }};

const child_program loses_a_zygote_whose_worker_waits{
    "loses a zygote whose worker has said hello", [] {
      std::string once = "/tmp/cadre_test_XXXXXX";
      ::close(::mkstemp(once.data()));
      ::setenv("CADRE_TEST_START", "die once", 1);
      ::setenv("CADRE_TEST_DIES_ONCE", once.c_str(), 1);
      process_pool_executor pool{1};
      if (pool.submit(&add_one, 1).get() != 2) return 1;
      return ::access(once.c_str(), F_OK) == 0 ? 2 : 3;
    }};

const child_program ends_with_a_stopped_zygote{"ends with a stopped zygote", [] {
                                                 one_worker w{&waits_for_ever};
                                                 std::cout << w.pid() << ' ' << zygote();
                                                 ::kill(zygote(), SIGSTOP);
                                                 return 3;
                                               }};

/// As old kernels, valgrind and filters that do not know the calls. False if that is not possible.
bool deny_pidfds() {
  constexpr std::uint16_t load = BPF_LD | BPF_W | BPF_ABS;
  constexpr std::uint16_t equal = BPF_JMP | BPF_JEQ | BPF_K;
  constexpr std::uint16_t answer = BPF_RET | BPF_K;
  std::array<sock_filter, 8> filter{{
      {load, 0, 0, offsetof(seccomp_data, nr)},
      {equal, 4, 0, SYS_pidfd_open},
      {equal, 3, 0, SYS_pidfd_send_signal},
      {equal, 0, 3, SYS_waitid},
      {load, 0, 0, offsetof(seccomp_data, args)},
      {equal, 0, 1, P_PIDFD},
      {answer, 0, 0, SECCOMP_RET_ERRNO | ENOSYS},
      {answer, 0, 0, SECCOMP_RET_ALLOW},
  }};
  const sock_fprog program{filter.size(), filter.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0 &&
         ::syscall(SYS_pidfd_open, ::getpid(), 0) == -1 && errno == ENOSYS;
}

const child_program has_no_pidfds{
    "has no pidfds", [] {
      if (!deny_pidfds()) return 77;
      for (const auto method : {start_method::zygote, start_method::exec, start_method::fork}) {
        worker_spec spec;
        spec.method = method;
        if (one_worker{&exits_with_3, spec}.death().exit_code != 3) return 10;
        const one_worker killed{&waits_for_ever, spec};
        killed.kill(SIGTERM);
        if (killed.death().signal != SIGTERM) return 11;
      }
      const one_worker lost{&waits_for_ever};
      ::kill(zygote(), SIGKILL);
      if (!lost.death().zygote_lost) return 12;
      process_pool_executor pool{2};
      if (pool.submit(&add_one, 1).get() != 2) return 13;
      auto late = pool.submit({.timeout = short_time, .grace = 1ms}, &never_returns);
      try {
        late.get();
        return 14;
      } catch (const timeout_error&) {
        return pool.submit(&add_one, 2).get();
      }
    }};

const child_program is_killed_without_pidfds{"is killed without pidfds", [] {
                                               if (!deny_pidfds()) return 77;
                                               const one_worker w{&waits_for_ever};
                                               std::cout << zygote() << ' ' << w.pid()
                                                         << std::flush;
                                               ::raise(SIGKILL);
                                               return 0;
                                             }};

constexpr const char* orphans_name = "CADRE_WORKERS_ARE_ORPHANS";

/// A static object of a worker that is executed, before it takes its role: it loses its zygote.
[[maybe_unused]] const bool is_orphan = [] {
  const pid_t parent = ::getppid();
  std::string name;
  std::getline(std::ifstream{"/proc/" + std::to_string(parent) + "/comm"}, name);
  if (std::getenv(orphans_name) == nullptr || name != "cadre-zygote") return false;
  std::cout << ::getpid() << ' ' << std::flush;
  ::kill(parent, SIGKILL);
  while (::getppid() == parent) std::this_thread::yield();
  return true;
}();

const child_program executes_orphans{
    "executes workers that lose their zygote, of which it has no pidfds", [] {
      if (!deny_pidfds()) return 77;
      ::setenv(orphans_name, "1", 1);
      auto options = workers(1);
      options.start_method = cadre::start_method::exec;
      process_pool_executor pool{std::move(options)};
      try {
        return pool.submit(&add_one, 1).get();
      } catch (const broken_executor&) {
        return 0;
      }
    }};

const child_program receives_no_pidfd{
    "has no descriptor for the pidfd of a worker", [] {
      const auto starter = worker_starter::acquire();
      if (one_worker{&exits_with_3}.death().exit_code != 3) return 1;  // the zygote is there
      const rlimit few{64, 64};
      ::setrlimit(RLIMIT_NOFILE, &few);
      std::vector<ipc::descriptor> all;
      for (;;) {
        ipc::descriptor next{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
        if (!next) break;
        all.push_back(std::move(next));
      }
      // A pipe, the crash page and the working directory.
      all.resize(all.size() - 4);
      const one_worker w{&waits_for_ever};
      all.clear();
      w.kill(SIGTERM);
      return w.death().signal == SIGTERM ? 3 : 2;
    }};

const child_program reaps_orphans{"reaps workers of a lost zygote, as process 1 does", [] {
                                    ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
                                    {
                                      const auto starter = worker_starter::acquire();
                                      for (int i = 0; i < 3; ++i) {
                                        const one_worker a{&waits_for_ever};
                                        const one_worker b{&waits_for_ever};
                                        ::kill(zygote(), SIGKILL);
                                        if (!a.death().zygote_lost) return 1;
                                        if (!b.death().zygote_lost) return 2;
                                      }
                                    }
                                    const pid_t left = ::waitpid(-1, nullptr, WNOHANG);
                                    return left == -1 && errno == ECHILD ? 3 : 4;
                                  }};

const child_program changes_its_groups{"changes its groups", [] {
                                         const gid_t group = 12345;
                                         const one_worker before{&waits_for_ever};
                                         const pid_t first = zygote();
                                         if (::setgroups(1, &group) != 0) return 77;
                                         const one_worker after{&waits_for_ever};
                                         const pid_t second = zygote();
                                         if (first == second || !lives(first)) return 1;
                                         after.kill(SIGTERM);
                                         if (after.death().signal != SIGTERM) return 2;
                                         before.kill(SIGTERM);
                                         if (before.death().signal != SIGTERM) return 4;
                                         return dies(first) && lives(second) ? 3 : 5;
                                       }};

}  // namespace

TEST(process_zygote, stopped_before_hello_holds_up_no_start) {
  const ended child = starts_with_a_stopped_zygote.run(medium_time);

  EXPECT_EQ(child.exit_code, 3) << child;
}

TEST(process_zygote, stopped_right_after_a_fork_costs_no_start) {
  const ended child = starts_a_stopped_worker.run(medium_time);

  EXPECT_EQ(child.exit_code, 3) << child;
}

TEST(process_zygote, worker_killed_before_its_first_word_may_be_tried_again) {
  const ended child = starts_a_dying_worker.run();

  EXPECT_EQ(child.exit_code, 3) << child;
  EXPECT_NE(child.out.find("was killed by SIGKILL before it could begin"), std::string::npos)
      << child;
}

TEST(process_zygote, killed_when_its_worker_has_said_hello_costs_no_call) {
  const ended child = loses_a_zygote_whose_worker_waits.run();

  EXPECT_EQ(child.exit_code, 3) << child;
}

TEST(process_zygote, stopped_holds_up_no_start) {
  const one_worker first{&waits_for_ever};
  ::kill(zygote(), SIGSTOP);

  const auto begin = clock::now();
  const one_worker second{&exits_with_3};

  EXPECT_EQ(second.death().exit_code, 3);
  EXPECT_LT(clock::now() - begin, medium_time);
  first.kill(SIGTERM);
  EXPECT_EQ(first.death().signal, SIGTERM) << "it was lost, though the zygote was only stopped";
}

TEST(process_zygote, stopped_holds_up_no_kill) {
  const one_worker w{&waits_for_ever};
  ::kill(zygote(), SIGSTOP);

  w.kill(SIGKILL);

  EXPECT_TRUE(dies(w.pid()));
  EXPECT_EQ(w.death().signal, SIGKILL);
}

TEST(process_zygote, stopped_again_and_again_holds_up_no_time_limit) {
  process_pool_executor pool{2};
  const auto begin = clock::now();

  auto evil = pool.submit({.timeout = short_time, .grace = 10ms}, &stop_the_zygote_for_ever);

  EXPECT_THROW(evil.get(), timeout_error);
  EXPECT_LT(clock::now() - begin, medium_time);
  EXPECT_EQ(pool.submit(&add_one, 1).get(), 2);
}

TEST(process_zygote, wedged_is_replaced_with_all_that_is_below_it) {
  const auto starter = worker_starter::acquire();
  const one_worker sleeps{&waits_for_ever};
  const one_worker forks{&forks_and_waits};
  const one_worker killed{&waits_for_ever};
  const pid_t child = std::stoi(forks.said());
  const pid_t wedged = zygote();
  wedge(wedged);

  killed.kill(SIGKILL);
  EXPECT_EQ(killed.death().signal, SIGKILL);
  EXPECT_FALSE(killed.death().zygote_lost) << "its death could not be told by itself";
  const one_worker next{&exits_with_3};

  EXPECT_EQ(next.death().exit_code, 3);
  EXPECT_TRUE(sleeps.death().zygote_lost);
  EXPECT_TRUE(forks.death().zygote_lost);
  for (const pid_t pid : {wedged, sleeps.pid(), forks.pid(), child}) EXPECT_FALSE(lives(pid));
}

TEST(process_zygote, stopped_holds_up_no_end) {
  const ended child = ends_with_a_stopped_zygote.run(medium_time);

  EXPECT_EQ(child.exit_code, 3) << child;
  for (const pid_t pid : pids_in(child.out)) EXPECT_TRUE(dies(pid)) << pid;
}

TEST(process_zygote, wedged_holds_up_no_end) {
  pid_t wedged = 0;
  pid_t worker = 0;
  pid_t child = 0;
  {
    const one_worker w{&forks_and_waits};
    worker = w.pid();
    child = std::stoi(w.said());
    wedged = zygote();
    wedge(wedged);
  }

  for (const pid_t pid : {wedged, worker, child}) EXPECT_FALSE(lives(pid));
}

TEST(process_zygote, killed_leaves_no_zombie_in_a_program_that_reaps_orphans) {
  const ended child = reaps_orphans.run();

  EXPECT_EQ(child.exit_code, 3) << child;
}

TEST(process_zygote, is_another_one_for_a_program_that_is_somebody_else) {
  const ended child = changes_its_groups.run();

  if (child.exit_code == 77) GTEST_SKIP() << "only root may change its groups";
  EXPECT_EQ(child.exit_code, 3) << child;
}

TEST(process_zygote, works_without_pidfds) {
  const ended child = has_no_pidfds.run();

  if (child.exit_code == 77) GTEST_SKIP() << "no filter of system calls is possible";
  EXPECT_EQ(child.exit_code, 3) << child;
}

TEST(process_zygote, ends_with_the_program_without_pidfds) {
  const ended child = is_killed_without_pidfds.run();

  if (child.exit_code == 77) GTEST_SKIP() << "no filter of system calls is possible";
  const auto all = pids_in(child.out);
  EXPECT_EQ(all.size(), 2U) << child;
  for (const pid_t pid : all) EXPECT_TRUE(dies(pid)) << pid;
}

TEST(process_zygote, killed_while_it_executes_a_worker_leaves_none_behind) {
  const ended child = executes_orphans.run();

  if (child.exit_code == 77) GTEST_SKIP() << "no filter of system calls is possible";
  EXPECT_EQ(child.exit_code, 0) << child;
  const auto all = pids_in(child.out);
  EXPECT_FALSE(all.empty());
  for (const pid_t pid : all) EXPECT_TRUE(dies(pid)) << pid;
}

TEST(process_zygote, kills_a_worker_of_which_no_pidfd_could_be_received) {
  if (under_asan)
    GTEST_SKIP() << "UBSan's check of types opens a pipe, for which there is no descriptor";
  const ended child = receives_no_pidfd.run();

  EXPECT_EQ(child.exit_code, 3) << child;
}

}  // namespace cadre::test
