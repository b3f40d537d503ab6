// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "process/landlock.hpp"
#include "process/system_calls.hpp"
#include "process/worker_starter.hpp"
#include "support/sanitizers.hpp"
#include "unit/process/one_worker.hpp"

namespace cadre::test {
namespace {

using process::worker_spec;
using bytes = std::span<const std::byte>;
using numbers = std::span<const int>;

/// For each attempt, "yes" or the error.
std::string attempt(bool succeeded) {
  return succeeded ? "yes " : std::string{strerrorname_np(errno)} + ' ';
}

int makes_sockets_and_directories(bytes, numbers fds) {
  std::string all = attempt(::syscall(SYS_socket, 1, 1, 0) >= 0);
  all += attempt(::syscall(SYS_mkdirat, AT_FDCWD, "/proc/no", 0700) == 0);
  all += attempt(::getpid() > 0);
  say(fds, all);
  return 0;
}

int opens_files(bytes, numbers fds) {
  std::string all = attempt(::open("/etc/passwd", O_RDONLY) >= 0);
  all += attempt(::open("/usr/bin/env", O_RDONLY) >= 0);
  all += attempt(::open("/tmp", O_RDWR | O_TMPFILE, 0600) >= 0);
  say(fds, all);
  return 0;
}

int tells_its_session(bytes, numbers fds) {
  const int terminal = ::open("/dev/tty", O_RDONLY | O_CLOEXEC);
  if (terminal >= 0) ::close(terminal);
  say(fds, std::to_string(::getsid(0)) + (terminal < 0 ? "" : " at a terminal"));
  return 0;
}

std::string hard_limit(__rlimit_resource which) {
  rlimit limit{};
  ::getrlimit(which, &limit);
  return std::to_string(limit.rlim_max) + ' ';
}

int tells_its_limits(bytes, numbers fds) {
  say(fds, hard_limit(RLIMIT_NPROC) + hard_limit(RLIMIT_CORE) + hard_limit(RLIMIT_FSIZE) +
               hard_limit(RLIMIT_MEMLOCK) + std::to_string(::prctl(PR_GET_DUMPABLE)));
  return 0;
}

int tells_its_capabilities(bytes, numbers fds) {
  std::ifstream status{"/proc/self/status"};
  for (std::string line; std::getline(status, line);) {
    const bool is_set = line.find_first_not_of("0", line.find('\t') + 1) != std::string::npos;
    if (line.starts_with("Cap")) say(fds, line.substr(3, 3) + (is_set ? "some " : "none "));
  }
  return 0;
}

std::string own_namespace(const std::string& kind) {
  return std::filesystem::read_symlink("/proc/self/ns/" + kind).string() + ' ';
}

int tells_its_namespaces(bytes, numbers fds) {
  say(fds, own_namespace("user") + own_namespace("net") + own_namespace("ipc"));
  return 0;
}

int signals_its_parent(bytes, numbers fds) {
  say(fds, attempt(::kill(::getppid(), 0) == 0) + attempt(::kill(::getpid(), 0) == 0));
  return 0;
}

int makes_processes(bytes, numbers fds) {
  std::string all = attempt(::vfork() >= 0);
  all += attempt(::execl("/usr/bin/true", "true", nullptr) == 0);
  bool ran = false;
  std::thread{[&] { ran = true; }}.join();
  say(fds, all + (ran ? "thread" : "none"));
  return 0;
}

bool kernel_restricts_files() { return process::landlock_version() > 0; }

}  // namespace

TEST(sandbox, denies_system_calls) {
  worker_spec spec;
  spec.sandbox.denied_system_calls = {SYS_socket, SYS_mkdirat};
  const one_worker w{&makes_sockets_and_directories, spec};

  EXPECT_EQ(w.said(), "EPERM EPERM yes ");
}

// One for each would be a group of the scheduler's, too: on a busy machine that starts late.
TEST(sandbox, puts_workers_into_one_session_of_their_own) {
  worker_spec spec;
  spec.sandbox.new_session = true;
  const one_worker first{&tells_its_session, spec};
  const one_worker second{&tells_its_session, spec};
  const std::string first_session = first.said();

  EXPECT_NE(first_session, std::to_string(::getsid(0)));
  EXPECT_EQ(second.said(), first_session);
}

TEST(sandbox, puts_a_worker_that_this_process_forks_into_a_session) {
  worker_spec spec;
  spec.sandbox.new_session = true;
  spec.method = process::start_method::fork;  // which would lead a process group, and may not
  const one_worker w{&tells_its_session, spec};

  EXPECT_NE(w.said(), std::to_string(::getsid(0)));
}

TEST(sandbox, limits_processes_cores_files_and_locked_memory) {
  worker_spec spec;
  spec.sandbox.processes = 7000;
  spec.sandbox.core_size = 0;
  spec.sandbox.file_size = 3'000'000;
  spec.sandbox.locked_memory = 4096;
  const one_worker w{&tells_its_limits, spec};

  EXPECT_EQ(w.said(), "7000 0 3000000 4096 0");
}

TEST(sandbox, drops_all_capabilities) {
  worker_spec spec;
  spec.sandbox.no_capabilities = true;
  const one_worker w{&tells_its_capabilities, spec};

  const bool root = ::geteuid() == 0;  // for whom alone there is a bounding set to drop
  EXPECT_EQ(w.said(), root ? "Inhnone Prmnone Effnone Bndnone Ambnone "
                           : "Inhnone Prmnone Effnone Bndsome Ambnone ");
}

TEST(sandbox, has_namespaces_of_its_own) {
  if (under_tsan) GTEST_SKIP() << "a process with its thread cannot leave its user namespace";
  worker_spec spec;
  spec.sandbox.own_namespaces = true;
  const std::string why = refusal(&tells_its_namespaces, spec);
  if (!why.empty()) GTEST_SKIP() << why;
  const one_worker w{&tells_its_namespaces, spec};

  const std::string said = w.said();
  EXPECT_FALSE(said.empty());
  for (const char* kind : {"user", "net", "ipc"}) {
    EXPECT_EQ(said.find(own_namespace(kind)), std::string::npos) << kind << ": " << said;
  }
}

TEST(sandbox, isolates_signals) {
  if (process::landlock_version() < 6)
    GTEST_SKIP() << "this kernel's Landlock has no scopes (6.12)";
  worker_spec spec;
  spec.sandbox.isolate_signals = true;
  const one_worker w{&signals_its_parent, spec};

  EXPECT_EQ(w.said(), "EPERM yes ");
}

TEST(sandbox, has_no_network) {
  worker_spec spec;
  spec.sandbox.no_network = true;
  const one_worker w{&makes_sockets_and_directories, spec};

  EXPECT_EQ(w.said().substr(0, 6), "EPERM ");
}

TEST(sandbox, has_no_child_processes) {
  worker_spec spec;
  spec.sandbox.no_child_processes = true;
  const one_worker w{&makes_processes, spec};

  EXPECT_EQ(w.said(), "EPERM EPERM thread");
}

TEST(sandbox, dies_with_its_program_though_it_changed_its_rights) {
  worker_spec spec;
  spec.sandbox.strict = true;
  const one_worker w{[](bytes, numbers fds) {
                       say(fds, attempt(::prctl(PR_SET_PDEATHSIG, 0) == 0));
                       return 0;
                     },
                     spec};

  EXPECT_EQ(w.said(), "EPERM ");
}

TEST(sandbox, names_system_calls_and_numbers_those_without_a_name) {
  EXPECT_EQ(process::describe_system_call(SYS_socket),
            "socket (" + std::to_string(SYS_socket) + ")");
  EXPECT_EQ(process::describe_system_call(1023), "1023");
}

TEST(sandbox, restricts_files) {
  worker_spec spec;
  spec.sandbox.restrict_files = true;
  spec.sandbox.readable_paths = {"/usr"};
  if (!kernel_restricts_files()) {
    EXPECT_NE(refusal(&opens_files, spec).find("Landlock"), std::string::npos);
    return;
  }
  const one_worker w{&opens_files, spec};

  EXPECT_EQ(w.said(), "EACCES yes EACCES ");
}

TEST(sandbox, refuses_a_rule_for_a_path_that_does_not_exist) {
  worker_spec spec;
  spec.sandbox.restrict_files = true;
  spec.sandbox.readable_paths = {"/no/such/path"};

  EXPECT_NE(refusal(&opens_files, spec).find("does not start"), std::string::npos);
}

TEST(sandbox, that_kills_the_worker_at_once_is_reported) {
  worker_spec spec;
  spec.sandbox.denied_system_calls = {SYS_sendmsg};  // with which it says that it has started

  EXPECT_NE(refusal(&opens_files, spec).find("before it could begin"), std::string::npos);
}

}  // namespace cadre::test
