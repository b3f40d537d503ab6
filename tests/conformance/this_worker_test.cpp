// SPDX-License-Identifier: MIT
// A call can ask which worker runs it.
#include <cadre/process_pool_executor.hpp>
#include <cadre/this_worker.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "conformance/executors.hpp"
#include "conformance/process_pools.hpp"
#include "support/gate.hpp"

namespace cadre::test {
namespace {

template <typename Traits>
class this_worker_in_pools : public testing::Test {};
TYPED_TEST_SUITE(this_worker_in_pools, pools, executor_names);

int index_behind(gate_handle at) {
  pass(at, 0);
  return static_cast<int>(this_worker::index().value_or(99));
}

std::string pool_here() { return std::string{this_worker::pool()}; }

}  // namespace

TYPED_TEST(this_worker_in_pools, the_index_tells_workers_apart) {
  const gate here;
  const auto pool = TypeParam::make(2);
  const std::vector both{pool->submit(&index_behind, here.handle()),
                         pool->submit(&index_behind, here.handle())};
  here.await_arrivals(2);
  here.open();

  std::vector<int> indices{both[0].get(), both[1].get()};
  std::ranges::sort(indices);

  EXPECT_EQ(indices, (std::vector{0, 1}));
}

TEST(this_worker, outside_of_pools_there_is_none) {
  EXPECT_FALSE(this_worker::index().has_value());
  EXPECT_EQ(this_worker::pool(), "");
}

TEST(this_worker, in_a_thread_pool_knows_its_name) {
  thread_pool_executor pool{{.max_workers = 1, .thread_name_prefix = "crew"}};

  EXPECT_EQ(pool.submit(&pool_here).get(), "crew");
}

TEST(this_worker, in_a_worker_process_knows_its_name) {
  process_pool_executor pool{{.max_workers = 1, .name = "crew"}};

  EXPECT_EQ(pool.submit(&pool_here).get(), "crew");
}

}  // namespace cadre::test
