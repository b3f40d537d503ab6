// SPDX-License-Identifier: MIT
// Where this thread's stack ends: what the C library says, which reads /proc for the main thread.
#include "base/stack.hpp"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <thread>

namespace cadre::detail {
namespace {

constexpr std::uintptr_t kibi = 1024;

/// The lowest byte of this thread's stack.
std::uintptr_t low_of_this_thread() {
  pthread_attr_t attributes;
  EXPECT_EQ(::pthread_getattr_np(::pthread_self(), &attributes), 0);
  void* low = nullptr;
  std::size_t size = 0;
  EXPECT_EQ(::pthread_attr_getstack(&attributes, &low, &size), 0);
  ::pthread_attr_destroy(&attributes);
  return reinterpret_cast<std::uintptr_t>(low);
}

/// The limit of the stack, put back at the end.
class stack_limit {
 public:
  explicit stack_limit(rlim_t bytes) {
    EXPECT_EQ(::getrlimit(RLIMIT_STACK, &before_), 0);
    rlimit now = before_;
    now.rlim_cur = std::min(bytes, before_.rlim_max);
    EXPECT_EQ(::setrlimit(RLIMIT_STACK, &now), 0);
  }
  ~stack_limit() { ::setrlimit(RLIMIT_STACK, &before_); }
  stack_limit(const stack_limit&) = delete;
  stack_limit& operator=(const stack_limit&) = delete;

 private:
  rlimit before_{};
};

/// A thread asks once. CTest runs each test in a process of its own.
std::uintptr_t end_of_this_stack() {
  return end_of_stack(reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)));
}

TEST(stack, of_the_main_thread_ends_above_its_limit) {
  const stack_limit usual{8192 * kibi};
  const std::uintptr_t low = low_of_this_thread();

  EXPECT_EQ(end_of_this_stack(), low + 64 * kibi);
}

TEST(stack, of_the_main_thread_may_be_small) {
  const stack_limit small{200 * kibi};
  const std::uintptr_t low = low_of_this_thread();

  EXPECT_EQ(end_of_this_stack(), low + 200 / 4 * kibi);
}

TEST(stack, of_the_main_thread_may_have_no_limit) {
  const stack_limit none{RLIM_INFINITY};
  const std::uintptr_t low = low_of_this_thread();

  EXPECT_EQ(end_of_this_stack(), low + 64 * kibi);
}

TEST(stack, of_another_thread_ends_where_the_thread_says) {
  std::thread{[] { EXPECT_EQ(end_of_this_stack(), low_of_this_thread() + 64 * kibi); }}.join();
}

TEST(stack, of_somebody_else_has_128_KiB_more) {
  const std::uintptr_t frame = std::uintptr_t{1} << 20;
  EXPECT_EQ(end_of_stack(frame), frame - 128 * kibi);
}

}  // namespace
}  // namespace cadre::detail
