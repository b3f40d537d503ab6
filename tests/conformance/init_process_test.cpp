// SPDX-License-Identifier: MIT
// The initializer of a process pool, which runs first in each worker. Source: CPython's test_init.py.
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "conformance/example_futures.hpp"
#include "conformance/executors.hpp"
#include "conformance/process_pools.hpp"
#include "support/gate.hpp"

namespace cadre::test {
namespace {

template <typename Traits>
class initialized_processes : public testing::Test {};
TYPED_TEST_SUITE(initialized_processes, start_methods, executor_names);

std::string status = "uninitialized";

void initialize() { status = "initialized"; }
void throw_disk_full() { throw disk_full{}; }
std::string wait_and_ask(gate_handle at) {
  pass(at, 0);
  return status;
}

}  // namespace

TYPED_TEST(initialized_processes, the_initializer_runs_in_each_worker_before_its_calls) {
  const gate here;
  const auto pool = TypeParam::make({.max_workers = 2, .initializer = &initialize});
  const std::vector both{pool->submit(&wait_and_ask, here.handle()),
                         pool->submit(&wait_and_ask, here.handle())};
  here.await_arrivals(2);
  here.open();

  EXPECT_EQ(both[0].get(), "initialized");
  EXPECT_EQ(both[1].get(), "initialized");
  EXPECT_EQ(status, "uninitialized");
}

TYPED_TEST(initialized_processes, a_throwing_initializer_fails_all_calls_and_refuses_more) {
  const auto pool = TypeParam::make({.max_workers = 2, .initializer = &throw_disk_full});
  const auto f = pool->submit(&multiply, 6, 7);

  EXPECT_THROW(f.get(), broken_executor);
  EXPECT_THROW(static_cast<void>(pool->submit(&multiply, 6, 7)), broken_executor);
}

TYPED_TEST(initialized_processes, the_message_says_what_the_initializer_threw) {
  const auto pool = TypeParam::make({.max_workers = 1, .initializer = &throw_disk_full});

  const std::string message = message_of(pool->submit(&multiply, 6, 7));

  EXPECT_NE(message.find("initializer"), std::string::npos) << message;
  EXPECT_NE(message.find("no space left"), std::string::npos) << message;
}

// gh-104090. What is left behind fails any test of ours: see support/leak_check.hpp.
TYPED_TEST(initialized_processes, a_throwing_initializer_leaves_nothing_behind) {
  for (int i = 0; i < 3; ++i) {
    const auto pool = TypeParam::make({.max_workers = 2, .initializer = &throw_disk_full});
    EXPECT_THROW(pool->submit(&multiply, 6, 7).get(), broken_executor);
  }
}

}  // namespace cadre::test
