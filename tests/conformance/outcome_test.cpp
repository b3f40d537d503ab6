// SPDX-License-Identifier: MIT
// outcome and keep_errors(): a map that goes on after an element that failed, in whichever executor.
#include <cadre/errors.hpp>
#include <cadre/executor.hpp>
#include <cadre/outcome.hpp>

#include <gtest/gtest.h>

#include <ranges>
#include <stdexcept>
#include <string>
#include <vector>

#include "conformance/example_futures.hpp"
#include "conformance/executors.hpp"

namespace cadre::test {
namespace {

template <typename Traits>
class outcomes : public testing::Test {};
TYPED_TEST_SUITE(outcomes, all_executors, executor_names);

std::string even_only(int n) {
  if (n % 2 != 0) throw std::out_of_range{std::to_string(n) + " is odd"};
  return std::to_string(n);
}
void even_or_nothing(int n) { static_cast<void>(even_only(n)); }

}  // namespace

TYPED_TEST(outcomes, of_a_map_are_all_there_though_some_elements_threw) {
  const auto executor = TypeParam::make(2);
  std::vector<std::string> told;
  for (auto& each : executor->map(keep_errors(&even_only), std::views::iota(0, 5))) {
    if (each) {
      told.push_back(each.get());
      continue;
    }
    try {
      each.get();
    } catch (const std::out_of_range& e) {
      told.emplace_back(e.what());
    }
  }

  EXPECT_EQ(told, (std::vector<std::string>{"0", "1 is odd", "2", "3 is odd", "4"}));
}

TYPED_TEST(outcomes, of_callables_without_a_result_hold_only_errors) {
  const auto executor = TypeParam::make(2);
  int good = 0;
  int bad = 0;
  for (auto& each : executor->map(keep_errors(&even_or_nothing), std::views::iota(0, 5))) {
    each ? ++good : ++bad;
  }

  EXPECT_EQ(good, 3);
  EXPECT_EQ(bad, 2);
}

TYPED_TEST(outcomes, are_results_of_single_calls_too) {
  const auto executor = TypeParam::make(1);
  const auto good = executor->submit(keep_errors(&even_only), 2).get();
  const auto bad = executor->submit(keep_errors(&even_only), 3).get();

  EXPECT_EQ(good.get(), "2");
  EXPECT_FALSE(bad);
  EXPECT_THROW(bad.get(), std::out_of_range);
  EXPECT_FALSE(bad.value);
}

}  // namespace cadre::test
