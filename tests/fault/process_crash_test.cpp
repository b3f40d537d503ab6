// SPDX-License-Identifier: MIT
// What worker_died tells of a crash: the signal, the address, the frames, and what to do now.
#include <cadre/errors.hpp>
#include <cadre/outcome.hpp>
#include <cadre/process_pool_executor.hpp>

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fault/process_pool_calls.hpp"
#include "support/gate.hpp"
#include "support/sanitizers.hpp"

namespace cadre::test {
namespace {

constexpr bool sanitized = under_asan || under_tsan;

[[gnu::noinline]] void writes_to(volatile int* where) { *where = 1; }

int writes_to_nowhere() {
  writes_to(reinterpret_cast<volatile int*>(std::uintptr_t{0x1234}));
  return 0;
}

int writes_to_no_address() {
  writes_to(reinterpret_cast<volatile int*>(std::uintptr_t{0x4141414141414141}));
  return 0;
}

int ends_its_thread() { ::pthread_exit(nullptr); }

int calls_nothing() {
  int (*volatile nothing)() = nullptr;
  return nothing() + 1;
}

}  // namespace

TEST(process_crash, a_crash_says_where_it_was) {
  if (sanitized) GTEST_SKIP() << "sanitizers report crashes themselves";
  process_pool_executor pool{1};

  const worker_death death = death_of(pool.submit({.name = "parse 7"}, &writes_to_nowhere));

  EXPECT_EQ(death.signal, SIGSEGV);
  EXPECT_EQ(death.fault_address, 0x1234U);
  EXPECT_EQ(death.call, "parse 7");
  EXPECT_NE(death.backtrace().find("writes_to_nowhere("), std::string::npos) << death.backtrace();
}

TEST(process_crash, a_call_of_a_null_pointer_says_where_it_was) {
  if (sanitized) GTEST_SKIP() << "sanitizers report crashes themselves";
  process_pool_executor pool{1};

  const worker_death death = death_of(pool.submit(&calls_nothing));

  ASSERT_GE(death.frames.size(), 2U) << death.backtrace();
  EXPECT_EQ(death.frames[0].address, 0U);
  EXPECT_EQ(death.backtrace().find("on_crash"), std::string::npos) << death.backtrace();
  EXPECT_NE(death.backtrace().find("calls_nothing("), std::string::npos) << death.backtrace();
}

#if defined(__x86_64__)
TEST(process_crash, a_crash_at_an_address_that_no_processor_can_have_is_told_with_none) {
  if (sanitized) GTEST_SKIP() << "sanitizers report crashes themselves";
  process_pool_executor pool{1};

  const worker_death death = death_of(pool.submit(&writes_to_no_address));

  EXPECT_EQ(death.signal, SIGSEGV);
  EXPECT_EQ(death.fault_address, std::nullopt);
  EXPECT_FALSE(death.frames.empty());
}
#endif

TEST(process_crash, a_sigsegv_that_somebody_sent_is_no_crash_that_comes_again) {
  if (sanitized) GTEST_SKIP() << "sanitizers report crashes themselves";
  const gate here;
  process_pool_executor pool{1};
  const auto running = pool.submit(&hang, here.handle());
  here.await_arrivals(1);

  ::kill(pool.worker_pids().at(0), SIGSEGV);

  const std::string why = failure_of<worker_died>(running);
  EXPECT_NE(why.find("SIGSEGV"), std::string::npos) << why;
  EXPECT_EQ(why.find("crash again"), std::string::npos) << why;
}

TEST(process_crash, a_call_that_ends_its_thread_is_told_by_name_and_costs_itself) {
  process_pool_executor pool{1};

  const std::string why = failure_of<worker_died>(pool.submit({.name = "leave"}, &ends_its_thread));

  EXPECT_NE(why.find("\"leave\""), std::string::npos) << why;
  EXPECT_NE(why.find("pthread_exit"), std::string::npos) << why;
  EXPECT_EQ(pool.submit(&add_one, 1).get(), 2);
}

// The wrappers of the library do not take the reason away.
TEST(process_crash, an_element_of_a_map_that_ends_its_thread_is_told_so) {
  process_pool_executor pool{1};
  const auto leave = [](int) { return ends_its_thread(); };
  const std::string kept = failure_of<worker_died>(pool.submit(keep_errors(leave), 1));
  std::string mapped;
  try {
    pool.map(leave, std::vector{1, 2}).wait();
  } catch (const worker_died& e) {
    mapped = e.what();
  }

  EXPECT_NE(kept.find("pthread_exit"), std::string::npos) << kept;
  EXPECT_NE(mapped.find("pthread_exit"), std::string::npos) << mapped;
}

}  // namespace cadre::test
