// SPDX-License-Identifier: MIT
// sandbox::strict: honest calls work in it, what it refuses is named, and so is what the kernel lacks.
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>
#include <cadre/shared_span.hpp>

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <new>
#include <numeric>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fault/process_pool_calls.hpp"
#include "process/landlock.hpp"
#include "process/system_call_filter.hpp"
#include "support/gate.hpp"
#include "support/process.hpp"
#include "support/sanitizers.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t mega = std::size_t{1} << 20;

process_pool_options strict(int count = 1) {
  auto options = workers(count);
  options.worker.sandbox = sandbox::strict;
  return options;
}

// --- honest calls ---

long sum_with_threads(const std::vector<int>& numbers) {
  std::vector<long> sums(4);
  std::vector<std::thread> threads;
  for (std::size_t part = 0; part < sums.size(); ++part) {
    threads.emplace_back([&, part] {
      for (std::size_t i = part; i < numbers.size(); i += sums.size()) sums[part] += numbers[i];
    });
  }
  for (std::thread& t : threads) t.join();
  return std::accumulate(sums.begin(), sums.end(), 0L);
}

std::size_t allocate(std::size_t size) {
  const std::vector<char> all(size, 'x');
  asm volatile("" : : "r"(all.data()) : "memory");  // clang would do without
  return all.size();
}

std::size_t allocate_without_limit(std::size_t size) {
  rlimit limit{};
  ::getrlimit(RLIMIT_DATA, &limit);
  const rlimit none{limit.rlim_max, RLIM_INFINITY};
  const rlimit most{limit.rlim_max, limit.rlim_max};
  if (::setrlimit(RLIMIT_DATA, &none) == 0) return 0;
  ::setrlimit(RLIMIT_DATA, &most);
  return allocate(size);
}

int throw_out_of_range(int n) { return std::vector<int>(3).at(static_cast<std::size_t>(n)); }

std::string repeat(std::size_t size) {
  std::cout << ' ' << std::flush;
  return std::string(size, 'r');
}

shared_span<const int> count_up(int size) {
  shared_buffer<int> numbers{static_cast<std::size_t>(size)};
  std::iota(numbers.begin(), numbers.end(), 1);
  return std::move(numbers).share();
}

bool waits_for_stop(const std::stop_token& token, gate_handle) {
  while (!token.stop_requested()) std::this_thread::yield();
  return true;
}

int sleep_on() {
  for (;;) std::this_thread::sleep_for(1h);
}

int open_errno = 0;
void try_to_open() { open_errno = ::open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0 ? 0 : errno; }
int error_of_initializer() { return open_errno; }

// --- hostile ones ---

int make_socket() { return ::socket(AF_INET, SOCK_STREAM, 0); }
int call_unknown() { return static_cast<int>(::syscall(1023)); }
bool reads(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  return fd >= 0 && ::close(fd) == 0;
}

/// What no limit would count.
int error_of_map(int flags) {
  void* const memory = ::mmap(nullptr, mega, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? errno : 0;
}

int error_of_ring() {
  std::array<char, 256> parameters{};
  return ::syscall(SYS_io_uring_setup, 1, parameters.data()) < 0 ? errno : 0;
}

int make_socket_behind_a_mask() {
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  return make_socket();
}

std::string message_of_death(process_pool_executor& pool, int (*call)()) {
  return failure_of<worker_died>(pool.submit({.name = "guilty"}, call));
}

// --- kernels that lack something ---

void deny(std::vector<int> numbers) {
  process::sandbox_spec spec;
  spec.denied_system_calls = std::move(numbers);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (!process::filter_system_calls(spec)) std::abort();
}

/// Prints what a strict worker lacks, or why it does not start.
int print_gaps(sandbox_gaps accepted, std::vector<std::string> readable = {}) {
  auto options = strict();
  options.worker.sandbox_gaps = accepted;
  options.worker.readable_paths = std::move(readable);
  process_pool_executor pool{std::move(options)};
  try {
    for (const std::string& gap : pool.submit(&missing_protections).get()) {
      std::cout << gap << '\n';
    }
    return 0;
  } catch (const broken_executor& e) {
    std::cout << e.what() << '\n';
    return 2;
  }
}

void take_away_namespaces_and_landlock() { deny({SYS_unshare, SYS_landlock_create_ruleset}); }

const child_program accepts_minor_gaps{"has no namespaces and no Landlock", [] {
                                         take_away_namespaces_and_landlock();
                                         return print_gaps(sandbox_gaps::minor);
                                       }};
const child_program accepts_no_gap{"accepts no gap", [] {
                                     take_away_namespaces_and_landlock();
                                     return print_gaps(sandbox_gaps::none);
                                   }};
const child_program needs_landlock{"needs Landlock for its paths", [] {
                                     take_away_namespaces_and_landlock();
                                     return print_gaps(sandbox_gaps::minor, {"/usr"});
                                   }};
const child_program accepts_any_gap{"accepts any gap", [] {
                                      take_away_namespaces_and_landlock();
                                      return print_gaps(sandbox_gaps::any, {"/usr"});
                                    }};
const child_program has_no_seccomp{"has no seccomp", [] {
                                     deny({SYS_seccomp});
                                     return print_gaps(sandbox_gaps::minor);
                                   }};

bool become_nobody() {
  constexpr unsigned nobody = 65534;
  return ::geteuid() != 0 ||
         (::setgroups(0, nullptr) == 0 && ::setresgid(nobody, nobody, nobody) == 0 &&
          ::setresuid(nobody, nobody, nobody) == 0);
}

const child_program is_nobody{"is an ordinary user", [] {
                                if (!become_nobody()) return 3;
                                return print_gaps(sandbox_gaps::minor);
                              }};

constexpr int untouched = 1;
int secret = untouched;

bool overwrites(int parent, std::uint64_t address) {
  int value = untouched + 1;
  const iovec from{&value, sizeof value};
  const iovec to{reinterpret_cast<void*>(address), sizeof value};
  return ::process_vm_writev(parent, &from, 1, &to, 1, 0) == sizeof value;
}

const child_program is_not_dumpable{"is not dumpable", [] {
                                      if (!become_nobody()) return 3;
                                      ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
                                      process_pool_executor pool{1};
                                      const auto where = reinterpret_cast<std::uintptr_t>(&secret);
                                      const auto done = pool.submit(&overwrites, ::getpid(), where);
                                      return done.get() || secret != untouched ? 1 : 0;
                                    }};

}  // namespace

TEST(process_sandbox, f74_honest_calls_work_in_a_strict_one) {
  process_pool_executor pool{strict()};
  std::vector<int> numbers(50'000);
  std::iota(numbers.begin(), numbers.end(), 1);

  EXPECT_EQ(pool.submit(&sum_with_threads, numbers).get_for(medium_time), 1'250'025'000L);
  EXPECT_EQ(pool.submit(&allocate, 64 * mega).get_for(medium_time), 64 * mega);
  EXPECT_EQ(pool.submit(&repeat, 4 * mega).get_for(medium_time), std::string(4 * mega, 'r'));
  EXPECT_THROW(pool.submit(&throw_out_of_range, 3).get_for(medium_time), std::out_of_range);
  const auto span = pool.submit(&count_up, 100'000).get_for(medium_time);
  EXPECT_EQ(std::accumulate(span.begin(), span.end(), 0L), 5'000'050'000L);
  EXPECT_EQ(pool.submit(&own_pid).get_for(medium_time), pool.worker_pids().at(0));
}

TEST(process_sandbox, f74_limits_of_calls_hold_in_a_strict_one) {
  process_pool_executor pool{strict()};
  const int pid = pool.submit(&own_pid).get_for(medium_time);

  if (!under_asan && !under_tsan) {
    EXPECT_THROW(pool.submit({.max_memory = 16 * mega}, &allocate, 64 * mega).get_for(medium_time),
                 std::bad_alloc);
    EXPECT_EQ(pool.submit(&allocate, 64 * mega).get_for(medium_time), 64 * mega);
  }
  const gate here;
  auto stopped = pool.submit({.grace = long_time}, &waits_for_stop, here.handle());
  while (!stopped.running()) std::this_thread::yield();
  stopped.request_stop();
  EXPECT_TRUE(stopped.get_for(medium_time));
  EXPECT_EQ(pool.submit(&own_pid).get_for(medium_time), pid);
  EXPECT_THROW(pool.submit({.timeout = 20ms, .grace = 5ms}, &sleep_on).get_for(medium_time),
               timeout_error);
}

TEST(process_sandbox, f74_no_call_lifts_the_limit_of_private_memory) {
  if (under_asan || under_tsan) {
    GTEST_SKIP() << "the allocators of sanitizers end a process that has no memory";
  }
  auto options = strict();
  options.worker.private_memory = 64 * mega;
  process_pool_executor pool{std::move(options)};

  EXPECT_THROW(pool.submit(&allocate_without_limit, 128 * mega).get_for(medium_time),
               std::bad_alloc);
  EXPECT_EQ(pool.submit(&allocate, 8 * mega).get_for(medium_time), 8 * mega);
}

TEST(process_sandbox, a_strict_call_maps_no_memory_that_no_limit_counts) {
  process_pool_executor pool{strict()};

  EXPECT_EQ(pool.submit(&error_of_map, MAP_SHARED).get_for(medium_time), EPERM);
  EXPECT_EQ(pool.submit(&error_of_map, MAP_PRIVATE | MAP_GROWSDOWN).get_for(medium_time), EPERM);
  EXPECT_EQ(pool.submit(&error_of_map, MAP_PRIVATE).get_for(medium_time), 0);
}

TEST(process_sandbox, denied_system_calls_are_not_made_by_a_ring) {
  auto options = workers(1);
  options.worker.denied_system_calls = {SYS_openat2};
  process_pool_executor pool{std::move(options)};

  EXPECT_EQ(pool.submit(&error_of_ring).get_for(medium_time), EPERM);
}

TEST(process_sandbox, f74_a_crash_in_a_strict_one_is_told_with_its_frames) {
  process_pool_executor pool{strict()};

  const worker_death death = death_of(pool.submit(&end, way::is_killed));
  EXPECT_EQ(death.signal, SIGKILL);
  const std::string refused = message_of_death(pool, &make_socket);

  EXPECT_NE(refused.find("SIGSYS"), std::string::npos) << refused;
  const worker_death named = death_of(pool.submit(&make_socket));
  EXPECT_NE(named.backtrace().find("socket"), std::string::npos) << named.backtrace();
}

TEST(process_sandbox, f74_a_refused_system_call_is_named_in_worker_died) {
  process_pool_executor pool{strict()};

  const std::string socket = message_of_death(pool, &make_socket);
  const std::string unknown = message_of_death(pool, &call_unknown);

  const std::string number = std::to_string(SYS_socket);
  EXPECT_NE(socket.find("was killed by SIGSYS"), std::string::npos) << socket;
  EXPECT_NE(socket.find("does not allow the system call socket (" + number + ")"),
            std::string::npos)
      << socket;
  EXPECT_NE(unknown.find("does not allow the system call 1023;"), std::string::npos) << unknown;
  const std::string masked = message_of_death(pool, &make_socket_behind_a_mask);
  EXPECT_NE(masked.find("while its signals were blocked"), std::string::npos) << masked;
}

TEST(process_sandbox, f74_a_system_call_can_be_added_to_a_strict_one) {
  auto options = strict();
  options.worker.allowed_system_calls = {SYS_socket};
  process_pool_executor pool{std::move(options)};

  EXPECT_GE(pool.submit(&make_socket).get_for(medium_time), 0);
}

TEST(process_sandbox, f74_files_that_are_listed_can_be_read_in_a_strict_one) {
  if (process::landlock_version() < 1) GTEST_SKIP() << "this kernel has no Landlock (Linux 5.13)";
  auto options = strict();
  options.worker.readable_paths = {"/usr"};
  process_pool_executor pool{std::move(options)};

  EXPECT_TRUE(pool.submit(&reads, std::string{"/usr/bin/env"}).get_for(medium_time));
  EXPECT_FALSE(pool.submit(&reads, std::string{"/etc/passwd"}).get_for(medium_time));
}

TEST(process_sandbox, f74_an_initializer_runs_inside) {
  auto options = strict();
  options.initializer = &try_to_open;
  process_pool_executor pool{std::move(options)};

  EXPECT_EQ(pool.submit(&error_of_initializer).get_for(medium_time), EACCES);
}

TEST(process_sandbox, f74_options_that_contradict_each_other_are_refused) {
  auto forked = strict();
  forked.start_method = start_method::fork;
  auto without = workers(1);
  without.worker.allowed_system_calls = {SYS_socket};

  EXPECT_THROW(process_pool_executor{std::move(forked)}, std::invalid_argument);
  EXPECT_THROW(process_pool_executor{std::move(without)}, std::invalid_argument);
}

// --- what a kernel lacks ---

TEST(process_sandbox, f76_what_others_hold_may_be_missing_and_is_told) {
  const ended child = accepts_minor_gaps.run();

  EXPECT_EQ(child.exit_code, 0) << child;
  for (const char* gap : {"namespaces of its own", "Linux 6.7", "Linux 6.12", "Linux 5.13"}) {
    EXPECT_NE(child.out.find(gap), std::string::npos) << child;
  }
}

TEST(process_sandbox, f76_what_is_essential_may_not_be_missing_and_is_named) {
  const ended strictest = accepts_no_gap.run();
  const ended files = needs_landlock.run();
  const ended calls = has_no_seccomp.run();

  EXPECT_NE(strictest.out.find("namespaces of its own"), std::string::npos) << strictest;
  EXPECT_NE(files.out.find("files that it cannot open (Landlock, Linux 5.13)"), std::string::npos)
      << files;
  EXPECT_NE(calls.out.find("(seccomp, Linux 3.17)"), std::string::npos) << calls;
  for (const ended* refused : {&strictest, &files, &calls}) {
    EXPECT_EQ(refused->exit_code, 2) << *refused;
    EXPECT_NE(refused->out.find("worker.sandbox_gaps"), std::string::npos) << *refused;
  }
}

TEST(process_sandbox, f76_any_gap_can_be_accepted) {
  const ended child = accepts_any_gap.run();

  EXPECT_EQ(child.exit_code, 0) << child;
}

TEST(process_sandbox, f76_an_ordinary_user_gets_a_strict_one) {
  const ended child = is_nobody.run();
  if (child.exit_code == 3) GTEST_SKIP() << "this container does not let root become a user";

  EXPECT_EQ(child.exit_code, 0) << child;
}

TEST(process_sandbox, f75_a_program_that_is_not_dumpable_is_not_written_by_its_workers) {
  const ended child = is_not_dumpable.run();
  if (child.exit_code == 3) GTEST_SKIP() << "this container does not let root become a user";

  EXPECT_EQ(child.exit_code, 0) << child;
}

}  // namespace cadre::test
