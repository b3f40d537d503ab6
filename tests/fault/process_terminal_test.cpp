// SPDX-License-Identifier: MIT
// A program on a terminal, with worker processes: what its keys do.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "fault/terminal_job.hpp"
#include "support/process.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

/// For how many nanoseconds it has had a processor.
std::string time_on_processors(pid_t pid) {
  std::ifstream file{"/proc/" + std::to_string(pid) + "/schedstat"};
  std::string time;
  file >> time;
  return time;
}

/// More than the time `before`.
bool runs_again(pid_t pid, const std::string& before) {
  const auto deadline = std::chrono::steady_clock::now() + long_time;
  while (time_on_processors(pid) == before) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

const child_program is_suspended{"is suspended and continued from the keyboard",
                                 [] { return on_a_terminal([] {}, &suspend_twice); }};

/// The process of that name in the process group of `job`; 0 if there is none yet.
pid_t look_in_group(pid_t job, const std::string& name) {
  for (const auto& entry : std::filesystem::directory_iterator{"/proc"}) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0 || ::getpgid(pid) != job) continue;
    std::ifstream file{entry.path() / "comm"};
    std::string found;
    if (std::getline(file, found) && found == name) return pid;
  }
  return 0;
}

/// That process, which may be about to start; 0 if it does not come.
pid_t find_in_group(pid_t job, const std::string& name) {
  const auto deadline = std::chrono::steady_clock::now() + long_time / 2;
  pid_t found = 0;
  while (found == 0 && std::chrono::steady_clock::now() < deadline) {
    found = look_in_group(job, name);
  }
  return found;
}

const child_program is_suspended_for_ever{
    "is suspended, and its sentinel is not", [] {
      return on_a_terminal([] {},
                           [](int keyboard, pid_t job, pid_t worker) {
                             const pid_t sentinel = find_in_group(job, "cadre-sentinel");
                             if (sentinel == 0) return 1;
                             press(keyboard, suspend_key);
                             if (!comes_to(worker, true)) return 2;
                             const std::string time = time_on_processors(worker);
                             ::kill(sentinel, SIGCONT);
                             if (!runs_again(worker, time)) return 3;  // for a moment
                             if (!comes_to(worker, true)) return 4;
                             ::kill(-job, SIGCONT);
                             if (!comes_to(worker, false)) return 5;
                             press(keyboard, suspend_key);
                             if (!comes_to(worker, true)) return 6;
                             return 0;
                           });
    }};

/// For a time in which somebody who looks later would have looked.
bool runs_on(pid_t pid) {
  const auto end = std::chrono::steady_clock::now() + small_time;
  while (std::chrono::steady_clock::now() < end) {
    if (state_of(pid) == 'T') return false;
    std::this_thread::yield();
  }
  return true;
}

int suspended_pipe[2];

const child_program handles_the_suspend_key{
    "handles the suspend key itself", [] {
      if (::pipe2(suspended_pipe, O_CLOEXEC) != 0) return 60;
      const auto prepare = [] {
        ::signal(SIGTSTP, [](int) { static_cast<void>(!::write(suspended_pipe[1], "", 1)); });
      };
      return on_a_terminal(prepare, [](int keyboard, pid_t, pid_t worker) {
        char pressed = 0;
        press(keyboard, suspend_key);
        if (::read(suspended_pipe[0], &pressed, 1) != 1) return 1;
        return runs_on(worker) ? 0 : 2;
      });
    }};

const child_program stops_itself_after_the_suspend_key{
    "handles the suspend key, then stops itself", [] {
      const auto prepare = [] {
        ::signal(SIGTSTP, [](int) {
          ::poll(nullptr, 0,
                 700);  // the time that its screen takes: beyond the first look for its stop
          ::raise(SIGSTOP);
        });
      };
      return on_a_terminal(prepare, [](int keyboard, pid_t job, pid_t worker) {
        for (int round = 0; round < 2; ++round) {
          if (!runs_on(worker)) return 1;
          press(keyboard, suspend_key);
          if (!comes_to(job, true)) return 2;
          if (!comes_to(worker, true)) return 3;
          ::kill(-job, SIGCONT);
          if (!comes_to(worker, false)) return 4;
        }
        return 0;
      });
    }};

}  // namespace

TEST(process_terminal, suspends_and_continues_workers_with_the_program) {
  const ended child = is_suspended.run();

  EXPECT_EQ(child.exit_code, 0) << child;
}

// As when the zygote continues its sentinel in the moment in which the terminal stops it again.
TEST(process_terminal, suspends_workers_though_it_has_missed_the_stop_of_the_program) {
  const ended child = is_suspended_for_ever.run();

  EXPECT_EQ(child.exit_code, 0) << child;
}

TEST(process_terminal, does_not_suspend_workers_of_a_program_that_goes_on) {
  const ended child = handles_the_suspend_key.run();

  EXPECT_EQ(child.exit_code, 0) << child;
}

// As editors do, which put the terminal in order first.
TEST(process_terminal, suspends_workers_of_a_program_that_handles_the_key_and_stops_itself) {
  const ended child = stops_itself_after_the_suspend_key.run();

  EXPECT_EQ(child.exit_code, 0) << child;
}

}  // namespace cadre::test
