// SPDX-License-Identifier: MIT
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "process/worker_starter.hpp"
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

bool kernel_restricts_files() {
  return ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

}  // namespace

TEST(sandbox, denies_system_calls) {
  worker_spec spec;
  spec.sandbox.denied_system_calls = {SYS_socket, SYS_mkdirat};
  const one_worker w{&makes_sockets_and_directories, spec};

  EXPECT_EQ(w.said(), "EPERM EPERM yes ");
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
