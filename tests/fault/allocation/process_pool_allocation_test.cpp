// SPDX-License-Identifier: MIT
// The n-th allocation of a process pool's life fails, for each n: an exception says so, nothing is
// noticed, or the program ends as the header says. No call is lost, nothing hangs or is left behind.
#include <cadre/process_pool_executor.hpp>

#include <gtest/gtest.h>
#include <signal.h>

#include <cstdio>
#include <string>

#include "fault/allocation/failing_story.hpp"

namespace cadre::test {
namespace {

const child_program one_fails{"process_pool_allocation_one",
                              [] { return go_through_allocations<process_pool_executor>(1); }};

// process_pool_executor.hpp, Errors: "A pool that has no memory for its own bookkeeping ends the
// program, by std::terminate; so does the C library, for a thread that has none for its first
// thread_local object."
bool loudly(const ended& how) {
  return how.signal == SIGABRT &&
         (how.err.find("bad_alloc") != std::string::npos ||
          how.err.find("failed to register TLS destructor") != std::string::npos);
}

}  // namespace

TEST(process_pool_allocation, any_that_fails_is_told_or_ends_the_program_loudly) {
  take_some(5);
  const unsigned ends = go_through_steps(one_fails, &loudly);

  std::printf("it ended the program at %u allocations\n", ends);
}

}  // namespace cadre::test
