// SPDX-License-Identifier: MIT
// Tests that misbehave: support_test.cpp runs each and wants to see it fail.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <thread>

#include "support/leak_check.hpp"

namespace {

long blocks = 0;
[[maybe_unused]] const bool counts_blocks = [] {
  cadre::test::live_blocks = [] { return blocks; };
  return true;
}();

std::uint32_t never_woken = 0;

[[gnu::noinline]] void sleeps_for_ever() {
  while (true) ::syscall(SYS_futex, &never_woken, FUTEX_WAIT, 0, nullptr, nullptr, 0);
}

}  // namespace

TEST(guilty, nothing) {}
TEST(guilty, leaves_a_thread) { std::thread{&sleeps_for_ever}.detach(); }
TEST(guilty, leaves_a_descriptor) { ASSERT_GE(::open("/dev/null", O_RDONLY), 0); }
TEST(guilty, leaves_a_child) {
  if (::fork() == 0) ::_exit(0);
}
TEST(guilty, leaves_a_block) { ++blocks; }
TEST(guilty, hangs) { sleeps_for_ever(); }
