// SPDX-License-Identifier: MIT
// The process pool and its surroundings: a killed parent or zygote, fork, the user's own children,
// few descriptors, messages of all sizes, pools beside and within one another, hostile workers.
// The F numbers are those of the project's list of faults.
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "fault/process_pool_calls.hpp"
#include "support/gate.hpp"
#include "support/process.hpp"
#include "support/sanitizers.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using namespace std::chrono_literals;

int sleep_at(gate_handle at) {
  arrive(at, 0);
  for (;;) ::pause();
}

int compute_at(gate_handle at) {
  arrive(at, 0);
  for (volatile unsigned turns = 0;;) turns = turns + 1;
}

/// True once that process is gone, or a zombie that nobody reaps.
bool dies(pid_t pid) {
  const int watched = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (watched < 0) return true;
  pollfd dead{watched, POLLIN, 0};
  const auto limit = static_cast<int>(scaled(std::chrono::seconds{1}).count());
  const bool died = ::poll(&dead, 1, limit) == 1;
  ::close(watched);
  return died;
}

int parent_of_worker() { return ::getppid(); }

void print_workers(const process_pool_executor& pool) {
  for (const int pid : pool.worker_pids()) std::cout << pid << ' ';
  std::cout << std::flush;
}

void expect_all_die(const ended& child, std::size_t count) {
  std::istringstream words{child.out};
  std::vector<pid_t> pids;
  for (pid_t pid = 0; words >> pid;) pids.push_back(pid);
  EXPECT_EQ(pids.size(), count) << child;
  for (const pid_t pid : pids) EXPECT_TRUE(dies(pid)) << pid;
}

// --- child programs ---

const child_program is_killed_while_workers_run{
    "is killed while workers run", [] {
      const gate here;
      process_pool_executor pool{2};
      const auto sleeps = pool.submit(&sleep_at, here.handle());
      const auto computes = pool.submit(&compute_at, here.handle());
      here.await_arrivals(2);
      print_workers(pool);
      ::raise(SIGKILL);
      return 0;
    }};

/// Submits to a busy pool what ends this very process.
int ends_itself(way on_encode, way on_decode) {
  const gate here;
  process_pool_executor pool{2};
  const auto computes = pool.submit(&compute_at, here.handle());
  here.await_arrivals(1);
  print_workers(pool);
  pool.submit(&meet_traps, trap{on_encode, way::harmless}, way::harmless, way::harmless, on_decode)
      .wait();
  return 0;
}

const child_program exits_in_encode{"exits in encode",
                                    [] { return ends_itself(way::exits, way::harmless); }};
const child_program crashes_in_encode{"crashes in encode",
                                      [] { return ends_itself(way::crashes, way::harmless); }};
const child_program exits_in_decode{"exits in decode",
                                    [] { return ends_itself(way::harmless, way::exits); }};
const child_program crashes_in_decode{"crashes in decode",
                                      [] { return ends_itself(way::harmless, way::crashes); }};

const child_program forks_with_a_pool{"forks with a pool alive", [] {
                                        process_pool_executor pool{1};
                                        if (pool.submit(&add_one, 1).get() != 2) return 1;
                                        const pid_t child = ::fork();
                                        if (child == 0) {
                                          try {
                                            static_cast<void>(pool.submit(&add_one, 1));
                                            ::_exit(2);
                                          } catch (const broken_executor&) {
                                          }
                                          pool.shutdown();
                                          ::_exit(0);
                                        }
                                        int status = 0;
                                        ::waitpid(child, &status, 0);
                                        if (status != 0) return 3;
                                        return pool.submit(&add_one, 1).get() == 2 ? 0 : 4;
                                      }};

std::atomic<int> sigchlds{0};

const child_program has_children_of_its_own{
    "has a SIGCHLD handler and children", [] {
      ::signal(SIGCHLD, [](int) { ++sigchlds; });
      {
        process_pool_executor pool{2};
        for (const way how : deadly_ways) {
          if (pool.submit(&end, how).exception() == nullptr) return 1;
        }
        if (sigchlds != 0) return 2;
        // The zygote lives, and is the only child.
        if (::waitpid(-1, nullptr, WNOHANG) != 0) return 3;
        const pid_t child = ::fork();
        if (child == 0) ::_exit(5);
        int status = 0;
        if (::waitpid(-1, &status, 0) != child || WEXITSTATUS(status) != 5) return 4;
        if (pool.submit(&add_one, 1).get() != 2) return 5;
      }
      return ::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD ? 0 : 6;
    }};

const child_program has_no_descriptors_for_a_while{"has no descriptors for a while", [] {
                                                     process_pool_executor pool{1};
                                                     rlimit before{};
                                                     ::getrlimit(RLIMIT_NOFILE, &before);
                                                     rlimit few = before;
                                                     few.rlim_cur = 8;
                                                     ::setrlimit(RLIMIT_NOFILE, &few);
                                                     const auto refused = pool.submit(&add_one, 1);
                                                     try {
                                                       refused.get();
                                                       return 1;
                                                     } catch (const broken_executor& e) {
                                                       std::puts(e.what());
                                                     }
                                                     ::setrlimit(RLIMIT_NOFILE, &before);
                                                     return pool.submit(&add_one, 1).get() == 2 ? 0
                                                                                                : 2;
                                                   }};

// --- hostile calls ---

struct mapping {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
};

/// The memory that this worker shares with its parent, and may write.
std::vector<mapping> shared_memory() {
  std::vector<mapping> found;
  std::ifstream maps{"/proc/self/maps"};
  for (std::string line; std::getline(maps, line);) {
    mapping m;
    char access[5] = "";
    if (line.find("memfd:cadre") == std::string::npos) continue;
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &m.begin, &m.end, access) != 3) continue;
    if (access[1] == 'w') found.push_back(m);
  }
  return found;
}

void ring_all_bells() {
  for (const auto& link : std::filesystem::directory_iterator{"/proc/self/fd"}) {
    std::error_code gone;
    if (std::filesystem::read_symlink(link.path(), gone).string().find("eventfd") ==
        std::string::npos) {
      continue;
    }
    const std::uint64_t one = 1;
    static_cast<void>(!::write(std::stoi(link.path().filename()), &one, sizeof one));
  }
}

/// Writes random words, most of them small, everywhere in the memory that it shares.
__attribute__((no_sanitize("thread", "address"))) int scribble(unsigned seed, bool heads_only) {
  std::minstd_rand random{seed};
  const auto memory = shared_memory();
  for (int round = 0; round < 20; ++round) {
    for (const mapping& m : memory) {
      const std::uintptr_t size = heads_only ? 4096 : m.end - m.begin;
      for (int i = 0; i < 500; ++i) {
        auto* word = reinterpret_cast<volatile std::uint32_t*>(m.begin + random() % (size / 4) * 4);
        *word = static_cast<std::uint32_t>(random() % 2 == 0 ? random() % 256 : random());
      }
    }
    ring_all_bells();
  }
  ::_exit(9);
}

/// All of one value: counters that are at their ends.
__attribute__((no_sanitize("thread", "address"))) int fill(int byte) {
  for (const mapping& m : shared_memory()) {
    auto* bytes = reinterpret_cast<volatile char*>(m.begin);
    for (std::uintptr_t i = 0; i < std::uintptr_t{4096}; ++i) bytes[i] = static_cast<char>(byte);
  }
  ring_all_bells();
  for (;;) ::pause();
}

std::size_t echo_size(const std::string& text) { return text.size(); }
std::string echo(std::string text) { return text; }
std::string repeat(std::size_t size) { return std::string(size, 'r'); }

int nest_for_ever(start_method method) {
  process_pool_executor inner{{.max_workers = 1, .start_method = method}};
  return inner.submit(&nest_for_ever, method).get();
}

int use_a_pool_of_its_own(int n) {
  process_pool_executor inner{1};
  return inner.submit(&add_one, n).get();
}

}  // namespace

// --- the parent and the zygote: F35, F37, F41 ---

TEST(process_pool_isolation, f41_no_worker_survives_a_killed_parent) {
  const ended child = is_killed_while_workers_run.run();

  EXPECT_EQ(child.signal, SIGKILL) << child;
  expect_all_die(child, 2);
}

TEST(process_pool_isolation, no_worker_survives_a_parent_that_ends_in_a_codec) {
  for (const child_program* ends : {&exits_in_encode, &exits_in_decode}) {
    const ended child = ends->run();
    EXPECT_EQ(child.exit_code, 7) << child;
    EXPECT_FALSE(child.out.empty());
    expect_all_die(child, child.out.find(' ') == child.out.rfind(' ') ? 1 : 2);
  }
  for (const child_program* crashes : {&crashes_in_encode, &crashes_in_decode}) {
    const ended child = crashes->run();
    EXPECT_EQ(child.signal, SIGSEGV) << child;
    expect_all_die(child, child.out.find(' ') == child.out.rfind(' ') ? 1 : 2);
  }
}

TEST(process_pool_isolation, f37_a_killed_zygote_costs_what_ran_and_is_replaced) {
  const gate here;
  process_pool_executor pool{2};
  const int zygote = pool.submit(&parent_of_worker).get_for(medium_time);
  const auto running = pool.submit(&sleep_at, here.handle());
  here.await_arrivals(1);

  ::kill(zygote, SIGKILL);

  EXPECT_EQ(death_of(running).signal, SIGKILL);
  EXPECT_NE(pool.submit({.retries = 1}, &parent_of_worker).get_for(medium_time), zygote);
}

TEST(process_pool_isolation, f35_a_forked_child_has_no_use_of_the_pool_and_does_not_hang) {
  const ended child = forks_with_a_pool.run();

  EXPECT_EQ(child.exit_code, 0) << child;
}

TEST(process_pool_isolation, f39_the_users_children_and_signals_are_not_disturbed) {
  const ended child = has_children_of_its_own.run();

  EXPECT_EQ(child.exit_code, 0) << child;
}

TEST(process_pool_isolation, f9_without_descriptors_calls_fail_until_there_are_some) {
  if (under_asan) GTEST_SKIP() << "UndefinedBehaviorSanitizer needs descriptors to check types";
  const ended child = has_no_descriptors_for_a_while.run();

  EXPECT_EQ(child.exit_code, 0) << child;
  EXPECT_NE(child.out.find("no worker can be started"), std::string::npos) << child;
}

// --- sizes: F13, F14, F16 ---

TEST(process_pool_isolation, f14_messages_of_all_sizes_cross_both_ways) {
  process_pool_executor pool{1};
  constexpr std::size_t mib = std::size_t{1} << 20;
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{4095}, std::size_t{4096}, std::size_t{4097},
        mib - 1, mib, mib + 1, 8 * mib}) {
    const std::string text(size, 'x');
    EXPECT_TRUE(pool.submit(&echo, text).get_for(medium_time) == text) << size;
  }
}

TEST(process_pool_isolation, f16_both_directions_may_be_full_at_once) {
  process_pool_executor pool{1};
  const std::string text(std::size_t{2} << 20, 'x');
  std::vector<future<std::string>> echoes;

  for (int i = 0; i < 6; ++i) echoes.push_back(pool.submit(&echo, text));

  for (const auto& f : echoes) EXPECT_EQ(f.get_for(medium_time).size(), text.size());
}

TEST(process_pool_isolation, f13_a_worker_may_die_while_a_large_call_is_sent) {
  const gate here;
  process_pool_executor pool{1};
  const auto running = pool.submit(&sleep_at, here.handle());
  here.await_arrivals(1);
  const std::string text(std::size_t{4} << 20, 'x');
  const auto sent = pool.submit({.retries = 1}, &echo_size, text);  // fills the ring

  ::kill(pool.worker_pids().at(0), SIGKILL);

  EXPECT_EQ(death_of(running).signal, SIGKILL);
  EXPECT_EQ(sent.get_for(medium_time), text.size());
}

TEST(process_pool_isolation, max_message_refuses_larger_calls_and_results) {
  auto options = workers(1);
  options.max_message = 1000;
  process_pool_executor pool{std::move(options)};

  const auto large_call = pool.submit(&echo_size, std::string(2000, 'x'));
  const auto large_result = pool.submit(&repeat, std::size_t{2000});
  const auto good = pool.submit(&repeat, std::size_t{500});

  for (const std::string& why :
       {failure_of<codec_error>(large_call), failure_of<codec_error>(large_result)}) {
    EXPECT_NE(why.find("max_message of 1000"), std::string::npos) << why;
  }
  EXPECT_EQ(good.get_for(medium_time).size(), 500U);
}

// --- several pools ---

TEST(process_pool_isolation, a_death_in_one_pool_is_none_of_another) {
  const gate here;
  process_pool_executor first{1};
  process_pool_executor second{1};
  const auto running = second.submit(&pass, here.handle(), 5);
  here.await_arrivals(1);

  EXPECT_EQ(death_of(first.submit(&end, way::is_killed)).signal, SIGKILL);
  here.open();

  EXPECT_EQ(running.get_for(medium_time), 5);
}

TEST(process_pool_isolation, a_worker_may_have_a_pool_of_its_own) {
  process_pool_executor pool{1};

  EXPECT_EQ(pool.submit(&use_a_pool_of_its_own, 41).get_for(medium_time), 42);
}

TEST(process_pool_isolation, pools_in_workers_are_refused_when_they_are_nested_too_deeply) {
  for (const start_method method : {start_method::zygote, start_method::exec, start_method::fork}) {
    if (under_tsan && method == start_method::fork) continue;  // no threads after such a fork
    process_pool_executor pool{1};

    const std::string why = failure_of<broken_executor>(pool.submit(&nest_for_ever, method));

    EXPECT_NE(why.find("nested too deeply"), std::string::npos) << why;
  }
}

TEST(process_pool_isolation, f45_many_pools_leave_nothing) {
  for (int i = 0; i < 8; ++i) {
    process_pool_executor pool{1};
    EXPECT_EQ(pool.submit(&add_one, i).get_for(medium_time), i + 1);
  }
}

// --- hostile workers ---

TEST(process_pool_isolation, f3_a_worker_that_scribbles_costs_its_own_calls) {
  const gate here;
  process_pool_executor pool{2};
  const auto bystander = pool.submit(&pass, here.handle(), 77);
  here.await_arrivals(1);

  for (unsigned seed = 1; seed <= 10; ++seed) {
    const auto hostile = pool.submit({.timeout = 1s}, &scribble, seed, seed % 2 == 0);
    EXPECT_TRUE(hostile.wait_for(medium_time)) << seed;
    EXPECT_NE(hostile.exception(), nullptr);
  }
  here.open();

  EXPECT_EQ(bystander.get_for(medium_time), 77);
  EXPECT_EQ(pool.submit(&add_one, 1).get_for(medium_time), 2);
}

TEST(process_pool_isolation, f3_a_worker_with_impossible_counters_is_ended) {
  process_pool_executor pool{1};
  for (const int byte : {0, 1, 0x7f, 0xff}) {
    const auto hostile = pool.submit({.timeout = 50ms, .grace = 5ms}, &fill, byte);
    EXPECT_TRUE(hostile.wait_for(medium_time)) << byte;
    EXPECT_NE(hostile.exception(), nullptr);
  }

  EXPECT_EQ(pool.submit(&add_one, 1).get_for(medium_time), 2);
}

}  // namespace cadre::test
