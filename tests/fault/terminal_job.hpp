// SPDX-License-Identifier: MIT
// A job at a terminal of its own: a program with a worker process that computes for ever.
#pragma once

#include <cadre/process_pool_executor.hpp>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include "fault/process_pool_calls.hpp"
#include "fault/terminal.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {

inline constexpr char suspend_key = 'Z' & 31;

/// 'S', 'T' and so on; 'X' if there is no such process.
inline char state_of(pid_t pid) {
  std::ifstream file{"/proc/" + std::to_string(pid) + "/stat"};
  std::string text;
  std::getline(file, text);
  const auto name_end = text.rfind(')');
  return name_end == std::string::npos ? 'X' : text.at(name_end + 2);
}

/// Gives up before the program does that asks, so that the program can tell what it waited for.
inline bool comes_to(pid_t pid, bool stopped) {
  const auto deadline = std::chrono::steady_clock::now() + long_time / 2;
  while ((state_of(pid) == 'T') != stopped) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

inline int compute_for_ever() {
  for (volatile unsigned turns = 0;;) turns = turns + 1;
}

/// A job of the terminal. Tells the process id of its worker, which computes, and ends when it is told.
[[noreturn]] inline void be_job(int tells, int told, void (*prepare)()) {
  ::setpgid(0, 0);
  prepare();
  process_pool_executor pool{1};
  pool.submit(&own_pid).get();
  const auto endless = pool.submit(&compute_for_ever);
  const int worker = pool.worker_pids().at(0);
  if (::write(tells, &worker, sizeof worker) != sizeof worker) ::_exit(1);
  char end = 0;
  while (::read(told, &end, 1) < 0) {
  }
  pool.kill_workers();
  pool.shutdown();  // or ThreadSanitizer tells of its threads
  ::_exit(0);
}

/// A shell, as far as jobs are concerned, with one job; `use` presses keys.
inline int on_a_terminal(void (*prepare)(), int (*use)(int keyboard, pid_t job, pid_t worker)) {
  return at_a_terminal([=](int keyboard, int screen) {
    ::signal(SIGTTOU, SIG_IGN);
    std::array<int, 2> told{};
    std::array<int, 2> tells{};
    if (::pipe2(told.data(), O_CLOEXEC) != 0 || ::pipe2(tells.data(), O_CLOEXEC) != 0) return 50;
    const pid_t job = ::fork();
    if (job == 0) be_job(tells[1], told[0], prepare);
    ::setpgid(job, job);
    ::tcsetpgrp(screen, job);
    pid_t worker = 0;
    if (::read(tells[0], &worker, sizeof worker) != sizeof worker) return 51;
    const int result = use(keyboard, job, worker);
    if (::write(told[1], "", 1) != 1) return 52;
    ::kill(-job, SIGCONT);
    int status = 0;
    ::waitpid(job, &status, 0);
    return result != 0 ? result : WIFEXITED(status) ? WEXITSTATUS(status) : 53;
  });
}

inline void press(int keyboard, char key) { static_cast<void>(!::write(keyboard, &key, 1)); }

/// Suspends the job by its key and continues it, twice. Not 0: what did not come.
inline int suspend_twice(int keyboard, pid_t job, pid_t worker) {
  for (int round = 0; round < 2; ++round) {
    press(keyboard, suspend_key);
    int status = 0;
    if (::waitpid(job, &status, WUNTRACED) != job || !WIFSTOPPED(status)) return 1;
    if (!comes_to(worker, true)) return 2;
    ::kill(-job, SIGCONT);
    if (!comes_to(worker, false)) return 3;
  }
  return 0;
}

}  // namespace cadre::test
