// SPDX-License-Identifier: MIT
// The tests' own tools: a leak check that is blind, or a hang that shows no stack, helps nobody.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "support/cpu_time.hpp"
#include "support/process.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

// The small scale shortens the hang limit from 45 s to about one.
ended run_guilty(const std::string& test) {
  return run_process(
      {"env", "CADRE_TEST_SCALE=0.01", CADRE_GUILTY_PROGRAM, "--gtest_filter=guilty." + test});
}

testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << '"' << part << "\" is not in:\n" << text;
}

struct says_goodbye {
  ~says_goodbye() { std::fputs("static objects are destroyed", stdout); }
};

const child_program exits{"exits", [] {
                            static says_goodbye at_exit;
                            std::fputs("to stderr", stderr);
                            return 3;
                          }};
const child_program crashes{"crashes", [] { return ::raise(SIGKILL); }};
const child_program sleeps{"sleeps", [] {
                             std::system("sleep 1000");
                             return 0;
                           }};

}  // namespace

TEST(leak_check, a_test_that_leaves_nothing_passes) {
  const ended child = run_guilty("nothing");

  EXPECT_EQ(child.exit_code, 0) << child;
}

TEST(leak_check, a_thread_left_behind_fails_the_test) {
  const ended child = run_guilty("leaves_a_thread");

  EXPECT_EQ(child.exit_code, 1);
  EXPECT_TRUE(contains(child.out, "the test left behind: thread "));
}

TEST(leak_check, a_descriptor_left_behind_fails_the_test) {
  const ended child = run_guilty("leaves_a_descriptor");

  EXPECT_EQ(child.exit_code, 1);
  EXPECT_TRUE(contains(child.out, "(/dev/null)"));
}

TEST(leak_check, a_child_left_behind_fails_the_test) {
  const ended child = run_guilty("leaves_a_child");

  EXPECT_EQ(child.exit_code, 1);
  EXPECT_TRUE(contains(child.out, "the test left behind: child process"));
}

TEST(leak_check, a_block_left_behind_fails_the_test) {
  const ended child = run_guilty("leaves_a_block");

  EXPECT_EQ(child.exit_code, 1);
  EXPECT_TRUE(contains(child.out, "the test left blocks of futures or calls behind"));
}

TEST(hang_detector, a_test_that_hangs_ends_with_its_stack) {
  const ended child = run_guilty("hangs");

  EXPECT_EQ(child.signal, SIGABRT) << child;
  EXPECT_TRUE(contains(child.err, "guilty.hangs hangs"));
  EXPECT_TRUE(contains(child.err, "sleeps_for_ever"));
}

TEST(child_program, exit_code_and_output_are_captured) {
  const ended child = exits.run();

  EXPECT_EQ(child.exit_code, 3) << child;
  EXPECT_EQ(child.out, "static objects are destroyed");
  EXPECT_EQ(child.err, "to stderr");
}

TEST(child_program, a_deadly_signal_is_reported) {
  const ended child = crashes.run();

  EXPECT_FALSE(child.exit_code);
  EXPECT_EQ(child.signal, SIGKILL);
}

TEST(child_program, after_the_limit_it_is_killed_with_its_children) {
  const ended child = sleeps.run(short_time);

  EXPECT_TRUE(child.timed_out);
  EXPECT_EQ(child.signal, SIGKILL);
}

TEST(run_process, more_output_than_a_pipe_holds_is_captured) {
  const ended child = run_process({"head", "-c", "1000000", "/dev/zero"});

  EXPECT_EQ(child.out.size(), 1'000'000U);
}

TEST(cpu_share, sleeping_is_free) { EXPECT_LT(cpu_share_over(short_time), 0.5); }

TEST(cpu_share, a_busy_thread_is_seen) {
  std::atomic<bool> stop{false};
  std::thread busy{[&] {
    while (!stop) {
    }
  }};

  const double share = cpu_share_over(small_time);
  stop = true;
  busy.join();

  EXPECT_GT(share, 0.01) << "twice what an idle pool may use";
}

}  // namespace cadre::test
