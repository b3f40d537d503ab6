// SPDX-License-Identifier: MIT
// A program that is suspended as soon as its first worker runs, before a sentinel watches its terminal:
// here at each run, elsewhere on a busy machine only.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>

#include "fault/terminal_job.hpp"
#include "support/process.hpp"

namespace cadre::test {
namespace {

/// Names the process that is to be stopped before a process of the library joins its group.
constexpr const char* waits_for_stop_name = "CADRE_JOINS_WHEN_STOPPED";

const child_program is_suspended_early{"is suspended before it has a sentinel", [] {
                                         const auto prepare = [] {
                                           ::setenv(waits_for_stop_name,
                                                    std::to_string(::getpid()).c_str(), 1);
                                         };
                                         return on_a_terminal(prepare, &suspend_twice);
                                       }};

}  // namespace

TEST(process_terminal, suspends_workers_with_a_program_that_no_sentinel_watched_yet) {
  const ended child = is_suspended_early.run();

  EXPECT_EQ(child.exit_code, 0) << child;
}

}  // namespace cadre::test

extern "C" int setpgid(pid_t pid, pid_t group) noexcept {
  using namespace cadre::test;
  static auto* const real = reinterpret_cast<int (*)(pid_t, pid_t)>(::dlsym(RTLD_NEXT, "setpgid"));
  const char* const program = std::getenv(waits_for_stop_name);
  if (program != nullptr && group == std::atoi(program)) comes_to(group, true);
  return real(pid, group);
}
