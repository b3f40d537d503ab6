// SPDX-License-Identifier: MIT
// What a call does, or somebody does to its worker, costs no call beside or behind it.
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <fstream>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fault/other_processes.hpp"
#include "fault/process_pool_calls.hpp"
#include "fault/terminal.hpp"
#include "process/descendants.hpp"
#include "process/worker_starter.hpp"
#include "support/process.hpp"
#include "support/sanitizers.hpp"
#include "support/timeouts.hpp"
#include "unit/process/one_worker.hpp"

namespace cadre::test {
namespace {

using namespace std::chrono_literals;

int signal_own_group(int signal) {
  ::kill(0, signal);
  return signal;
}

std::size_t echo(const std::string& text) { return text.size(); }

char read_from_terminal() {
  char key = 0;
  const int terminal = ::open("/dev/tty", O_RDONLY | O_CLOEXEC);
  return ::read(terminal, &key, 1) == 1 ? key : '?';
}

char read_from_output() {
  char key = '-';
  static_cast<void>(!::read(STDOUT_FILENO, &key, 1));
  return key;
}

/// Writes into all memory that it shares with others, in the midst of what comes after it.
int scribble_later() {
  std::vector<std::span<std::uint64_t>> shared;
  std::ifstream maps{"/proc/self/maps"};
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    std::string rights;
    char dash = 0;
    std::istringstream{line} >> std::hex >> begin >> dash >> end >> rights;
    if (rights != "rw-s") continue;
    shared.emplace_back(reinterpret_cast<std::uint64_t*>(begin),
                        std::min<std::size_t>((end - begin) / 8, 512));
  }
  std::thread{[shared] {
    std::this_thread::sleep_for(2ms);
    for (unsigned i = 0; i < 1'000'000; ++i) {
      const auto& words = shared[i % shared.size()];
      static_cast<volatile std::uint64_t&>(words[(i * 7919) % words.size()]) = ~std::uint64_t{0};
    }
  }}.detach();
  return 0;
}

const child_program reads_its_terminal_in_a_call{
    "reads its terminal in a call", [] {
      return at_a_terminal([](int, int) {
        process_pool_executor pool{1};
        process_pool_executor other{1};
        const int neighbour = other.submit(&own_pid).get();
        const auto reads = pool.submit(&read_from_terminal);
        const auto error = reads.exception();
        try {
          std::rethrow_exception(error);
        } catch (const worker_died& e) {
          if (e.signal() != SIGTTIN) return 2;
          if (std::string{e.what()}.find("the terminal belongs to the program") ==
              std::string::npos)
            return 3;
        }
        if (other.submit(&own_pid).get() != neighbour) return 4;
        return pool.submit(&add_one, 2).get();
      });
    }};

const child_program shows_its_keyboard_to_strangers{
    "shows its keyboard to strangers", [] {
      return at_a_terminal([](int keyboard, int screen) {
        ::dup2(screen, STDOUT_FILENO);
        process_pool_options options;
        options.max_workers = 1;
        options.worker.sandbox = sandbox::strict;
        options.worker.sandbox_gaps = sandbox_gaps::any;
        process_pool_executor pool{std::move(options)};
        if (pool.submit(&add_one, 2).get() != 3) return 1;
        if (::write(keyboard, "secret\n", 7) != 7) return 2;
        return pool.submit(&read_from_output).get() == '-' ? 3 : 4;
      });
    }};

const child_program has_a_sentinel_that_is_stopped{
    "has a sentinel that somebody stops", [] {
      return at_a_terminal([](int, int) {
        process_pool_executor pool{1};
        if (pool.submit(&add_one, 2).get() != 3) return 1;
        const pid_t zygote = process::worker_starter::acquire()->zygote_pid().value();
        for (const pid_t pid : process::children_of(zygote)) {
          std::string name;
          std::getline(std::ifstream{"/proc/" + std::to_string(pid) + "/comm"}, name);
          if (name == "cadre-sentinel") ::kill(pid, SIGSTOP);
        }
        for (const auto end = std::chrono::steady_clock::now() + small_time;
             std::chrono::steady_clock::now() < end;) {
          if (pool.submit(&add_one, 2).get_for(medium_time) != 3) return 2;
        }
        return 3;
      });
    }};

}  // namespace

TEST(process_pool_neighbours, signals_to_its_process_group_stay_with_the_call) {
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGALRM, SIGKILL}) {
    process_pool_executor pool{2};
    process_pool_executor other{1};
    const int neighbour = other.submit(&own_pid).get();
    const auto evil = pool.submit(&signal_own_group, signal);

    EXPECT_EQ(death_of(evil).signal, signal);

    EXPECT_EQ(other.submit(&own_pid).get(), neighbour) << signal;
    EXPECT_EQ(pool.submit(&add_one, 1).get(), 2);
  }
}

TEST(process_pool_neighbours, a_call_that_reads_the_terminal_is_ended_and_holds_up_nobody) {
  const ended child = reads_its_terminal_in_a_call.run();

  EXPECT_EQ(child.exit_code, 3) << child;
}

TEST(process_pool_neighbours, a_strict_call_reads_nothing_that_is_typed) {
  const ended child = shows_its_keyboard_to_strangers.run();

  EXPECT_EQ(child.exit_code, 3) << child;
}

TEST(process_pool_neighbours, a_sentinel_that_is_stopped_holds_up_no_worker) {
  const ended child = has_a_sentinel_that_is_stopped.run();

  EXPECT_EQ(child.exit_code, 3) << child;
}

TEST(process_pool_neighbours, sigterm_to_young_workers_costs_no_call) {
  if (under_tsan)
    GTEST_SKIP() << "ThreadSanitizer holds back handlers: there, SIGTERM has its default";
  process_pool_executor pool{2};
  std::atomic<bool> over{false};
  std::thread ends_workers{[&] {
    std::set<int> done;
    while (!over) {
      for (const int pid : pool.worker_pids()) {
        if (done.insert(pid).second) ::kill(pid, SIGTERM);
      }
    }
  }};
  std::vector<future<int>> calls;
  for (int i = 0; i < 100; ++i) calls.push_back(pool.submit(&add_one, i));

  for (int i = 0; i < 100; ++i) {
    try {
      EXPECT_EQ(calls[static_cast<std::size_t>(i)].get(), i + 1);
    } catch (const std::exception& e) {
      ADD_FAILURE() << e.what();
    }
  }
  over = true;
  ends_workers.join();
}

TEST(process_pool_neighbours, retries_are_for_damage_by_another_call_too) {
  for (int round = 0; round < 10; ++round) {
    process_pool_executor pool{1};
    const auto evil = pool.submit(&scribble_later);
    std::vector<future<std::size_t>> honest;
    for (int i = 0; i < 10; ++i) {
      honest.push_back(
          pool.submit({.timeout = long_time, .retries = 5}, &echo, std::string(100'000, 'x')));
    }

    for (auto& each : honest) {
      try {
        EXPECT_EQ(each.get(), 100'000U);
      } catch (const std::exception& e) {
        ADD_FAILURE() << e.what();
      }
    }
    evil.wait();
  }
}

TEST(process_pool_neighbours, a_worker_that_dies_while_its_pool_is_killed_costs_one_call) {
  process_pool_executor pool{1};
  const int worker = pool.submit(&own_pid).get();
  const auto runs = pool.submit([]() -> int { sleep_for_ever(); });
  std::vector<future<int>> behind;
  for (int i = 0; i < 3; ++i) behind.push_back(pool.submit(&add_one, i));
  while (!runs.running()) std::this_thread::yield();
  // In the midst of their being cancelled, the worker dies of something else.
  std::atomic<bool> first{true};
  for (const auto& each : behind) {
    each.add_done_callback([&](const future<int>&) {
      if (!first.exchange(false)) return;
      ::kill(worker, SIGKILL);
      runs.wait();
    });
  }

  pool.kill_workers();

  EXPECT_THROW(runs.get(), worker_died);
  for (const auto& each : behind) EXPECT_THROW(each.get(), cancelled_error);
}

}  // namespace cadre::test
