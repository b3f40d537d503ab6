// SPDX-License-Identifier: MIT
// A process that dies after it was listed, and before it is looked at: here at each run, elsewhere on a
// busy machine only.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdarg>
#include <string>

#include "fault/other_processes.hpp"
#include "process/descendants.hpp"

namespace cadre::test {
namespace {

constinit pid_t dies_before_it_is_looked_at = 0;

[[noreturn]] void sleep_for_ever() {
  for (;;) ::pause();
}

/// As a zygote, with a worker that has a child.
[[noreturn]] void be_zygote(int told) {
  process::become_subreaper();
  const pid_t worker = ::fork();
  if (worker == 0) {
    const pid_t child = ::fork();
    if (child == 0) sleep_for_ever();
    const std::array both{::getpid(), child};
    static_cast<void>(!::write(told, both.data(), sizeof both));
  }
  sleep_for_ever();
}

}  // namespace

TEST(descendants, child_of_a_worker_that_dies_between_list_and_look_ends_too) {
  std::array<int, 2> told{};
  ASSERT_EQ(::pipe2(told.data(), O_CLOEXEC), 0);
  process::process_handle zygote{::fork(), {}};
  if (zygote.pid == 0) be_zygote(told[1]);
  zygote.pidfd = process::open_pidfd(zygote.pid);
  std::array<pid_t, 2> worker_and_child{};
  ASSERT_EQ(::read(told[0], worker_and_child.data(), sizeof worker_and_child),
            static_cast<ssize_t>(sizeof worker_and_child));
  const auto [worker, child] = worker_and_child;
  const ipc::descriptor pidfd = process::open_pidfd(worker);
  if (!pidfd) GTEST_SKIP() << "this system has no pidfds";
  dies_before_it_is_looked_at = worker;

  process::end_with_descendants(zygote, std::array{pidfd.get()}, false);

  EXPECT_EQ(dies_before_it_is_looked_at, 0) << "it was not looked at";
  EXPECT_FALSE(lives(worker));
  EXPECT_FALSE(lives(child));
  if (lives(child)) ::kill(child, SIGKILL);
  process::end_child(zygote);
  for (const int end : told) ::close(end);
}

}  // namespace cadre::test

extern "C" int open(const char* path, int flags, ...) {
  using cadre::test::dies_before_it_is_looked_at;
  static auto* const real =
      reinterpret_cast<int (*)(const char*, int, ...)>(::dlsym(RTLD_NEXT, "open"));
  const pid_t worker = dies_before_it_is_looked_at;
  if (worker != 0 && path == "/proc/" + std::to_string(worker) + "/stat") {
    dies_before_it_is_looked_at = 0;
    cadre::test::dies(worker);
  }
  std::va_list rest;
  va_start(rest, flags);
  const auto mode = va_arg(rest, mode_t);
  va_end(rest);
  return real(path, flags, mode);
}
