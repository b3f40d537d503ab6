// SPDX-License-Identifier: MIT
// What a hostile call reaches from its worker, in each sandbox: the table of the guide "Untrusted
// input" is made here, and compared with the guide.
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fault/process_pool_calls.hpp"
#include "process/landlock.hpp"
#include "support/sanitizers.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

/// Whom a call attacks.
struct targets {
  int parent = 0;
  int sibling = 0;
  std::uint64_t secret = 0;  // an int of the parent
};

constexpr int honest = 1;
constexpr int pwned = 2;
int secret = honest;

bool writes_the_parent(targets at) {
  int value = pwned;
  const iovec from{&value, sizeof value};
  const iovec to{reinterpret_cast<void*>(at.secret), sizeof value};
  return ::process_vm_writev(at.parent, &from, 1, &to, 1, 0) == sizeof value;
}

bool opens_the_parents_memory(targets at) {
  const std::string path = "/proc/" + std::to_string(at.parent) + "/mem";
  return ::open(path.c_str(), O_RDWR | O_CLOEXEC) >= 0;
}

bool traces_the_parent(targets at) {
  if (::ptrace(PTRACE_SEIZE, at.parent, nullptr, nullptr) != 0) return false;
  ::ptrace(PTRACE_INTERRUPT, at.parent, nullptr, nullptr);
  ::waitpid(at.parent, nullptr, __WALL);
  ::ptrace(PTRACE_DETACH, at.parent, nullptr, nullptr);
  return true;
}

bool takes_descriptors(targets at) {
  const auto process = static_cast<int>(::syscall(SYS_pidfd_open, at.parent, 0));
  return ::syscall(SYS_pidfd_getfd, process, STDERR_FILENO, 0) >= 0;
}

bool signals_the_parent(targets at) { return ::kill(at.parent, 0) == 0; }
bool signals_the_zygote(targets) { return ::kill(::getppid(), 0) == 0; }
bool signals_others(targets at) { return ::kill(at.sibling, 0) == 0; }

bool uses_the_network(targets) {
  const int end = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(9);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::connect(end, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
}

bool makes_local_sockets(targets) { return ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0; }

bool forks(targets) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  return child > 0 && ::waitpid(child, nullptr, 0) == child;
}

bool executes(targets) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl("/usr/bin/true", "true", nullptr);
    ::_exit(9);
  }
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && status == 0;
}

bool makes_namespaces(targets) {
  return ::unshare(CLONE_NEWUTS) == 0 || ::unshare(CLONE_NEWUSER) == 0;
}

bool maps_code(targets) {
  void* const code =
      ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return code != MAP_FAILED;
}

bool reads_files(targets) { return ::open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0; }
bool writes_files(targets) { return ::open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600) >= 0; }

bool sees_files(targets) {
  struct stat status {};
  return ::stat("/etc/passwd", &status) == 0;
}

bool changes_modes(targets) {
  return ::chmod("/tmp/cadre no such file", 0600) == 0 || errno == ENOENT;
}

bool changes_limits(targets) {
  rlimit present{};
  ::getrlimit(RLIMIT_NOFILE, &present);
  return ::setrlimit(RLIMIT_NOFILE, &present) == 0;
}

bool outlives_the_program(targets) { return ::prctl(PR_SET_PDEATHSIG, 0) == 0; }

bool starts_threads(targets) {
  bool ran = false;
  std::thread{[&] { ran = true; }}.join();
  return ran;
}

struct attempt {
  const char* what;
  bool (*run)(targets);
  // none, no_new_privileges, files_only, strict
  std::array<bool, 4> succeeds;
};

constexpr std::array attempts{
    attempt{"write the program's memory (`process_vm_writev`)", &writes_the_parent, {1, 1, 0, 0}},
    attempt{"open `/proc/PROGRAM/mem`", &opens_the_parents_memory, {1, 1, 0, 0}},
    attempt{"trace the program (`ptrace`)", &traces_the_parent, {1, 1, 0, 0}},
    attempt{"take the program's descriptors (`pidfd_getfd`)", &takes_descriptors, {1, 1, 0, 0}},
    attempt{"signal the program", &signals_the_parent, {1, 1, 1, 0}},
    attempt{"signal the process that forks workers", &signals_the_zygote, {1, 1, 1, 0}},
    attempt{"signal other workers", &signals_others, {1, 1, 1, 0}},
    attempt{"read files that are not listed", &reads_files, {1, 1, 0, 0}},
    attempt{"write files that are not listed", &writes_files, {1, 1, 0, 0}},
    attempt{"see that a file exists (`stat`)", &sees_files, {1, 1, 1, 0}},
    attempt{"change the modes of files", &changes_modes, {1, 1, 1, 0}},
    attempt{"use the network", &uses_the_network, {1, 1, 1, 0}},
    attempt{"connect to sockets of this machine", &makes_local_sockets, {1, 1, 1, 0}},
    attempt{"fork", &forks, {1, 1, 1, 0}},
    attempt{"execute programs that are not listed", &executes, {1, 1, 0, 0}},
    attempt{"make namespaces", &makes_namespaces, {1, 1, 1, 0}},
    attempt{"map memory as code", &maps_code, {1, 1, 1, 0}},
    attempt{"change its limits (`setrlimit`)", &changes_limits, {1, 1, 1, 0}},
    attempt{"outlive the program", &outlives_the_program, {1, 1, 1, 0}},
    attempt{"start threads", &starts_threads, {1, 1, 1, 1}},
};

process_pool_options options_of(std::size_t column) {
  process_pool_options options;
  options.max_workers = 1;
  options.max_calls_per_worker = 1;
  options.worker.open_files = 64;
  options.worker.no_new_privileges = column == 1;
  if (column == 2) options.worker.sandbox = sandbox::files_only;
  if (column == 3) options.worker.sandbox = sandbox::strict;
  return options;
}

/// An attempt that costs its worker has failed.
bool succeeds(process_pool_executor& pool, const attempt& what, const targets& at) {
  const auto tried = pool.submit({.timeout = long_time}, what.run, at);
  try {
    return tried.get_for(long_time);
  } catch (const worker_died& e) {
    EXPECT_EQ(e.signal(), SIGSYS) << what.what << ": " << e.what();
    return false;
  }
}

/// Where workers that nothing confines can do all that they can do at all.
bool nothing_else_confines() {
  std::ifstream yama{"/proc/sys/kernel/yama/ptrace_scope"};
  int scope = 0;
  yama >> scope;
  return ::geteuid() == 0 && scope == 0;
}

std::string row_of(const char* what, const std::array<bool, 4>& cells) {
  std::string row = "| " + std::string{what} + " |";
  for (const bool yes : cells) row += yes ? " yes |" : " no |";
  return row + '\n';
}

}  // namespace

TEST(process_sandbox, f75_the_table_of_the_guide_says_what_a_hostile_call_reaches) {
  if (process::landlock_version() < 1) GTEST_SKIP() << "this kernel has no Landlock (Linux 5.13)";
  process_pool_executor others{1};
  const targets at{::getpid(), others.submit(&own_pid).get_for(medium_time),
                   reinterpret_cast<std::uintptr_t>(&secret)};
  std::string table =
      "| a worker can | none | `no_new_privileges` | `files_only` | `strict` |\n"
      "|---|---|---|---|---|\n";

  std::array<std::array<bool, 4>, attempts.size()> found{};
  for (std::size_t column = 0; column < 4; ++column) {
    process_pool_executor pool{options_of(column)};
    for (std::size_t i = 0; i < attempts.size(); ++i) {
      found[i][column] = succeeds(pool, attempts[i], at);
      if (nothing_else_confines() || !attempts[i].succeeds[column]) {
        EXPECT_EQ(found[i][column], attempts[i].succeeds[column])
            << attempts[i].what << ", column " << column;
      }
    }
    EXPECT_EQ(std::exchange(secret, honest),
              column < 2 && nothing_else_confines() ? pwned : honest);
  }

  for (const attempt& each : attempts) table += row_of(each.what, each.succeeds);
  std::ifstream file{CADRE_GUIDES "/untrusted-input.md"};
  const std::string guide{std::istreambuf_iterator<char>{file}, {}};
  EXPECT_NE(guide.find(table), std::string::npos) << "the guide should say:\n" << table;
}

}  // namespace cadre::test
