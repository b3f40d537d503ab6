// SPDX-License-Identifier: MIT
// What ends badly around worker processes: workers that crash, a killed zygote, a killed parent, and
// programs that meddle with signals, children and descriptors.
#include <cadre/errors.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "fault/other_processes.hpp"
#include "process/worker_starter.hpp"
#include "support/process.hpp"
#include "support/sanitizers.hpp"
#include "support/timeouts.hpp"
#include "unit/process/one_worker.hpp"

namespace cadre::test {
namespace {

using process::death_report;
using process::start_method;
using process::worker_spec;
using process::worker_starter;
using bytes = std::span<const std::byte>;
using numbers = std::span<const int>;

constexpr bool sanitized = under_asan || under_tsan;

int exits_with_3(bytes, numbers) { return 3; }

std::string backtrace_of(const death_report& death) {
  return worker_death{.frames = death.crash.value().frames}.backtrace();
}

int waits_for_ever(bytes, numbers) { sleep_for_ever(); }

int computes_for_ever(bytes, numbers) {
  for (volatile unsigned turns = 0;;) turns = turns + 1;
}

[[gnu::noinline]] void writes_to(volatile int* where) { *where = 1; }

int writes_to_nowhere(bytes, numbers) {
  writes_to(reinterpret_cast<volatile int*>(std::uintptr_t{0x1234}));
  return 0;
}

int aborts(bytes, numbers) { std::abort(); }

int throws(bytes, numbers) { throw std::runtime_error{"nobody catches this"}; }

[[gnu::noinline]] int recurses(volatile char* outer, int depth) {
  volatile char frame[4096];
  frame[0] = *outer;
  return depth == 0 ? 0 : recurses(frame, depth - 1) + frame[0];
}

int overflows_its_stack(bytes, numbers) {
  volatile char begin = 0;
  return recurses(&begin, 1'000'000'000);
}

int raises_sigfpe(bytes, numbers) {
  std::raise(SIGFPE);
  return 0;
}

/// Of a child program: prints the process ids of its zygote and of these workers.
void print_pids(std::initializer_list<const one_worker*> workers) {
  std::cout << *worker_starter::acquire()->zygote_pid();
  for (const one_worker* w : workers) std::cout << ' ' << w->pid();
  std::cout << std::endl;
}

worker_spec by(start_method method) {
  worker_spec spec;
  spec.method = method;
  return spec;
}

const child_program dies_with_workers{
    "is killed with busy workers", [] {
      const one_worker sleeps{&waits_for_ever};
      const one_worker computes{&computes_for_ever};
      const one_worker executed{&waits_for_ever, by(start_method::exec)};
      const one_worker forked{&computes_for_ever, by(start_method::fork)};
      print_pids({&sleeps, &computes, &executed, &forked});
      ::raise(SIGKILL);
      return 0;
    }};

// A copy of the socket in another process is no sign of life.
const child_program dies_beside_a_fork{"is killed beside a forked child", [] {
                                         const one_worker sleeps{&waits_for_ever};
                                         const pid_t child = ::fork();
                                         if (child == 0) {
                                           ::close(STDOUT_FILENO);
                                           ::close(STDERR_FILENO);
                                           sleep_for_ever();
                                         }
                                         std::cout << child << ' ';
                                         print_pids({&sleeps});
                                         ::raise(SIGKILL);
                                         return 0;
                                       }};

std::atomic<int> sigchlds{0};

const child_program waits_itself{"has a SIGCHLD handler and a wait loop", [] {
                                   ::signal(SIGCHLD, [](int) { ++sigchlds; });
                                   {
                                     const one_worker first{&exits_with_3};
                                     const one_worker second{&waits_for_ever};
                                     if (first.death().exit_code != 3) return 1;
                                     second.kill(SIGKILL);
                                     if (second.death().signal != SIGKILL) return 2;
                                     if (sigchlds != 0) return 3;
                                     // The zygote lives, and is the only child.
                                     if (::waitpid(-1, nullptr, WNOHANG) != 0) return 4;
                                   }
                                   return ::waitpid(-1, nullptr, 0) == -1 && errno == ECHILD ? 0
                                                                                             : 5;
                                 }};

const child_program ignores_sigchld{"ignores SIGCHLD", [] {
                                      ::signal(SIGCHLD, SIG_IGN);
                                      return one_worker{&exits_with_3}.death().exit_code.value();
                                    }};

const child_program reaps_the_zygote{"reaps all children, the zygote included", [] {
                                       const auto starter = worker_starter::acquire();
                                       if (one_worker{&exits_with_3}.death().exit_code != 3)
                                         return 1;
                                       const pid_t zygote = *starter->zygote_pid();
                                       ::kill(zygote, SIGKILL);
                                       ::waitpid(-1, nullptr, 0);  // it, or the reaper was faster
                                       return one_worker{&exits_with_3}.death().exit_code == 3 ? 0
                                                                                               : 2;
                                     }};

int dies_of_interrupts(bytes, numbers fds) {
  ::signal(SIGINT, SIG_DFL);
  ::close(fds[0]);
  sleep_for_ever();
}

const child_program is_interrupted{
    "is interrupted from the keyboard", [] {
      static std::atomic<int> interrupts{0};
      ::signal(SIGINT, [](int) { ++interrupts; });
      const one_worker w{&dies_of_interrupts};
      const one_worker forked{&dies_of_interrupts, by(start_method::fork)};
      static_cast<void>(w.said() + forked.said());  // both are ready
      ::kill(0, SIGINT);
      w.kill(SIGTERM);
      forked.kill(SIGTERM);
      if (w.death().signal != SIGTERM) return 1;
      if (forked.death().signal != SIGTERM) return 2;
      return interrupts == 1 ? 0 : 3;
    }};

/// Left in a buffer by a static object, in the processes whose parent asks for it.
const int written_by_a_static_object =
    std::getenv("CADRE_TEST_STATIC_OUTPUT") == nullptr ? 0 : std::fputs("once ", stdout);

const child_program has_output_of_a_static{
    "has output of a static object", [] {
      ::setenv("CADRE_TEST_STATIC_OUTPUT", "1", 1);
      const one_worker a{&exits_with_3};
      const one_worker b{&exits_with_3};
      return a.death().exit_code == b.death().exit_code && written_by_a_static_object == 0 ? 0 : 1;
    }};

const child_program has_few_descriptors{"may open 24 files", [] {
                                          const rlimit few{24, 24};
                                          ::setrlimit(RLIMIT_NOFILE, &few);
                                          const one_worker a{&exits_with_3};
                                          const one_worker b{&exits_with_3};
                                          return a.death().exit_code == b.death().exit_code ? 0 : 1;
                                        }};

int prints_into_the_void(bytes, numbers) {
  for (const char* standard : {"/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"}) {
    if (std::filesystem::read_symlink(standard) != "/dev/null") return 1;
  }
  return 3;
}

const child_program has_no_standard_files{"has closed 0, 1 and 2", [] {
                                            ::close(0);
                                            ::close(1);
                                            ::close(2);
                                            const one_worker w{&prints_into_the_void};
                                            return w.death().exit_code == 3 ? 0 : 1;
                                          }};

const child_program uses_a_starter_in_a_fork{
    "uses a starter in a forked child", [] {
      auto starter = worker_starter::acquire();
      auto w = std::make_unique<one_worker>(&waits_for_ever);
      const pid_t child = ::fork();
      if (child == 0) {
        try {
          start_and_wait(*starter, {}, &exits_with_3, {}, {}, [](const death_report&) {});
          ::_exit(1);
        } catch (const broken_executor& e) {
          if (std::string{e.what()}.find("forked") == std::string::npos) ::_exit(2);
        }
        w.reset();
        starter.reset();
        if constexpr (!under_tsan) {  // which allows no threads there
          if (one_worker{&exits_with_3}.death().exit_code != 3) ::_exit(3);
        }
        ::_exit(0);
      }
      int status = 0;
      ::waitpid(child, &status, 0);
      w->kill(SIGTERM);
      return w->death().signal == SIGTERM ? WEXITSTATUS(status) : 10;
    }};

/// Started by a static object, in the processes whose parent asks for it.
const std::optional<std::jthread> thread_of_a_static_object =
    std::getenv("CADRE_TEST_STATIC_THREAD") == nullptr
        ? std::nullopt
        : std::optional<std::jthread>{std::in_place, [](const std::stop_token& stop) {
                                        while (!stop.stop_requested()) std::this_thread::yield();
                                      }};

int counts_threads(bytes, numbers) {
  std::ifstream status{"/proc/self/status"};
  std::string word;
  int threads = 0;
  while (status >> word) {
    if (word == "Threads:") status >> threads;
  }
  return threads;
}

const child_program has_a_thread_in_a_static{
    "has a thread in a static object", [] {
      ::setenv("CADRE_TEST_STATIC_THREAD", "1", 1);
      return one_worker{&counts_threads}.death().exit_code.value_or(100);
    }};

void expect_all_die(const std::string& pids, std::size_t count) {
  const std::vector<pid_t> all = pids_in(pids);
  EXPECT_EQ(all.size(), count) << pids;
  for (const pid_t pid : all) EXPECT_TRUE(dies(pid, scaled(std::chrono::seconds{1}))) << pid;
}

}  // namespace

TEST(process_start_fault, worker_crashes_and_says_where) {
  if (sanitized) GTEST_SKIP() << "sanitizers report crashes themselves";
  const death_report death = one_worker{&writes_to_nowhere}.death();

  EXPECT_EQ(death.signal, SIGSEGV);
  ASSERT_TRUE(death.crash);
  EXPECT_EQ(death.crash->signal, SIGSEGV);
  EXPECT_EQ(death.crash->address, 0x1234U);
  const std::string text = backtrace_of(death);
  EXPECT_NE(text.find("writes_to(int volatile*)"), std::string::npos) << text;
  EXPECT_NE(text.find("writes_to_nowhere("), std::string::npos) << text;
  EXPECT_EQ(text.find("on_crash"), std::string::npos) << text;
}

TEST(process_start_fault, executed_worker_crashes_and_says_where) {
  if (sanitized) GTEST_SKIP() << "sanitizers report crashes themselves";
  const death_report death = one_worker{&writes_to_nowhere, by(start_method::exec)}.death();

  ASSERT_TRUE(death.crash);
  const std::string text = backtrace_of(death);
  EXPECT_NE(text.find("writes_to_nowhere("), std::string::npos) << text;
}

TEST(process_start_fault, worker_aborts) {
  const death_report death = one_worker{&aborts}.death();

  EXPECT_EQ(death.signal, SIGABRT);
  ASSERT_TRUE(death.crash);
  EXPECT_NE(backtrace_of(death).find("aborts("), std::string::npos) << backtrace_of(death);
}

TEST(process_start_fault, worker_throws_out_of_its_entry) {
  const death_report death = one_worker{&throws}.death();

  EXPECT_EQ(death.signal, SIGABRT);
  ASSERT_TRUE(death.crash);
#ifdef __clang__  // unwinds to the function that is noexcept, and there terminates
  const char* const last_seen = "become_worker(";
#else
  const char* const last_seen = "throws(";
#endif
  EXPECT_NE(backtrace_of(death).find(last_seen), std::string::npos) << backtrace_of(death);
}

TEST(process_start_fault, worker_overflows_its_stack) {
  if (sanitized) GTEST_SKIP() << "sanitizers report crashes themselves";
  const death_report death = one_worker{&overflows_its_stack}.death();

  EXPECT_EQ(death.signal, SIGSEGV);
  ASSERT_TRUE(death.crash);
  EXPECT_NE(backtrace_of(death).find("recurses("), std::string::npos) << backtrace_of(death);
}

TEST(process_start_fault, worker_raises_a_signal) {
  if (sanitized) GTEST_SKIP() << "sanitizers report crashes themselves";
  const death_report death = one_worker{&raises_sigfpe}.death();

  EXPECT_EQ(death.signal, SIGFPE);
  EXPECT_TRUE(death.crash);
}

TEST(process_start_fault, parent_killed_takes_everything_with_it) {
  const ended child = dies_with_workers.run();

  EXPECT_EQ(child.signal, SIGKILL) << child;
  expect_all_die(child.out, 5);
}

TEST(process_start_fault, parent_killed_beside_a_fork_takes_everything_with_it) {
  const ended child = dies_beside_a_fork.run();

  std::vector<pid_t> all = pids_in(child.out);
  ASSERT_EQ(all.size(), 3U) << child;
  EXPECT_FALSE(dies(all[0], std::chrono::milliseconds{0}));
  for (const std::size_t i : {1U, 2U}) {
    EXPECT_TRUE(dies(all[i], scaled(std::chrono::seconds{1})));
  }
  ::kill(all[0], SIGKILL);
}

TEST(process_start_fault, zygote_killed_is_reported_for_each_worker) {
  const one_worker a{&waits_for_ever};
  const one_worker b{&computes_for_ever, by(start_method::exec)};

  ::kill(*worker_starter::acquire()->zygote_pid(), SIGKILL);

  for (const one_worker* w : {&a, &b}) {
    EXPECT_EQ(w->death().signal, SIGKILL);
    EXPECT_TRUE(w->death().zygote_lost);
    EXPECT_TRUE(dies(w->pid(), scaled(std::chrono::seconds{1})));
  }
}

TEST(process_start_fault, zygote_killed_is_replaced_by_the_next_start) {
  const auto starter = worker_starter::acquire();
  for (int i = 0; i < 30; ++i) {  // the start meets the loss at any moment
    EXPECT_EQ(one_worker{&exits_with_3}.death().exit_code, 3);
    ::kill(*starter->zygote_pid(), SIGKILL);
  }
  EXPECT_EQ(one_worker{&exits_with_3}.death().exit_code, 3);
}

TEST(process_start_fault, kills_at_random_moments_leave_nothing) {
  const auto starter = worker_starter::acquire();
  for (int i = 0; i < 50; ++i) {
    const one_worker w{&computes_for_ever};
    ::kill(i % 5 == 4 ? *starter->zygote_pid() : w.pid(), SIGKILL);
    EXPECT_EQ(w.death().signal, SIGKILL);
  }
}

TEST(process_start_fault, user_sees_no_death_of_a_worker) {
  const ended child = waits_itself.run();

  EXPECT_EQ(child.exit_code, 0) << child;
}

TEST(process_start_fault, user_may_ignore_sigchld) {
  const ended child = ignores_sigchld.run();

  EXPECT_EQ(child.exit_code, 3) << child;
}

TEST(process_start_fault, user_may_reap_the_zygote) {
  const ended child = reaps_the_zygote.run();

  EXPECT_EQ(child.exit_code, 0) << child;
}

TEST(process_start_fault, interrupt_from_the_keyboard_reaches_the_parent_only) {
  const ended child = is_interrupted.run();

  EXPECT_EQ(child.exit_code, 0) << child;
}

TEST(process_start_fault, output_of_a_static_object_appears_once_for_the_zygote) {
  const ended child = has_output_of_a_static.run();

  EXPECT_EQ(child.out, "once ") << child;
}

TEST(process_start_fault, few_descriptors_suffice) {
  const ended child = has_few_descriptors.run();

  EXPECT_EQ(child.exit_code, 0) << child;
}

TEST(process_start_fault, standard_descriptors_may_be_closed) {
  const ended child = has_no_standard_files.run();

  EXPECT_EQ(child.exit_code, 0) << child;
}

TEST(process_start_fault, forked_child_has_no_use_of_the_starter) {
  const ended child = uses_a_starter_in_a_fork.run();

  EXPECT_EQ(child.exit_code, 0) << child;
}

TEST(process_start_fault, thread_of_a_static_object_lives_in_each_worker) {
  const ended child = has_a_thread_in_a_static.run();

  EXPECT_EQ(child.exit_code, under_tsan ? 3 : 2) << child;
}

}  // namespace cadre::test
