// SPDX-License-Identifier: MIT
// Pools whose workers start with them, and the stacks of threads.
#include <cadre/process_pool_executor.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>
#include <pthread.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <utility>

#include "support/gate.hpp"
#include "support/process.hpp"

namespace cadre::test {
namespace {

struct arrive_as_worker {
  gate_handle here;
  void operator()() const { arrive(here, 0); }
};

process_pool_options early(int workers, gate_handle at) {
  process_pool_options options;
  options.max_workers = workers;
  options.prestart = true;
  options.initializer = arrive_as_worker{at};
  return options;
}

std::size_t own_stack_size() {
  pthread_attr_t attributes;
  ::pthread_getattr_np(::pthread_self(), &attributes);
  std::size_t size = 0;
  ::pthread_attr_getstacksize(&attributes, &size);
  ::pthread_attr_destroy(&attributes);
  return size;
}

/// Exists in the copies of this program, too.
struct pool_before_main {
  std::unique_ptr<process_pool_executor> pool;
  pool_before_main() {
    if (std::getenv("CADRE_TEST_POOL_BEFORE_MAIN") == nullptr) return;
    process_pool_options options;
    options.max_workers = 2;
    options.prestart = true;
    pool = std::make_unique<process_pool_executor>(std::move(options));
  }
} before_main;

int same(int n) { return n; }

bool copies_have_no_workers() {
  return before_main.pool != nullptr && before_main.pool->worker_pids().empty();
}

const child_program uses_a_pool_before_main{
    "uses a pool that was started before main()", [] {
      if (before_main.pool->submit(&same, 7).get() != 7) return 1;
      process_pool_options executed;
      executed.max_workers = 1;
      executed.start_method = start_method::exec;
      process_pool_executor other{std::move(executed)};
      if (!other.submit(&copies_have_no_workers).get()) return 2;
      return before_main.pool->submit(&copies_have_no_workers).get() ? 0 : 3;
    }};

}  // namespace

TEST(prestart, starts_all_threads_without_a_call) {
  const gate here;
  thread_pool_options options;
  options.max_workers = 3;
  options.prestart = true;
  options.initializer = [at = here.handle()] { arrive(at, 0); };
  thread_pool_executor pool{std::move(options)};

  here.await_arrivals(3);

  EXPECT_EQ(pool.stats().workers, 3U);
  EXPECT_EQ(pool.submit(&same, 1).get(), 1);
}

TEST(prestart, starts_all_processes_without_a_call) {
  const gate here;
  process_pool_executor pool{early(3, here.handle())};

  here.await_arrivals(3);

  EXPECT_EQ(pool.worker_pids().size(), 3U);
  EXPECT_EQ(pool.submit(&same, 1).get(), 1);
  EXPECT_EQ(pool.stats().workers_started, 3U);
}

TEST(prestart, may_be_ended_at_once) {
  const gate here;
  for (int round = 0; round < 5; ++round) process_pool_executor pool{early(2, here.handle())};
}

TEST(prestart, of_a_static_pool_starts_no_copies_of_copies) {
  ::setenv("CADRE_TEST_POOL_BEFORE_MAIN", "1", 1);
  const ended child = uses_a_pool_before_main.run();
  ::unsetenv("CADRE_TEST_POOL_BEFORE_MAIN");

  EXPECT_EQ(child.exit_code, 0) << child;
}

TEST(stack_size, is_that_of_each_worker) {
  for (const std::size_t size : {std::size_t{256} << 10, std::size_t{64} << 20}) {
    thread_pool_options options;
    options.max_workers = 1;
    options.stack_size = size;
    thread_pool_executor pool{std::move(options)};
    const std::size_t given = pool.submit(&own_stack_size).get();
    // Sanitizers add to small ones.
    EXPECT_GE(given, size);
    EXPECT_LT(given, size + (std::size_t{1} << 20));
  }
}

TEST(stack_size, that_is_too_small_is_refused) {
  thread_pool_options options;
  options.stack_size = 1;
  EXPECT_THROW(thread_pool_executor{std::move(options)}, std::invalid_argument);
}

}  // namespace cadre::test
