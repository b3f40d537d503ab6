// SPDX-License-Identifier: MIT
// The main() of every test executable.
#include <gtest/gtest.h>

#include <cstdio>

#include "support/hang_detector.hpp"
#include "support/leak_check.hpp"
#include "support/process.hpp"
#include "support/timeouts.hpp"

namespace {

/// As GoogleTest does, but without the types of typed tests in comments: CMake 3.25 would make
/// them part of the tests' names.
int list_tests() {
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  for (int i = 0; i < all.total_test_suite_count(); ++i) {
    const testing::TestSuite& suite = *all.GetTestSuite(i);
    std::printf("%s.\n", suite.name());
    for (int j = 0; j < suite.total_test_count(); ++j) {
      std::printf("  %s\n", suite.GetTestInfo(j)->name());
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace cadre::test;
  if (const auto exit_code = run_as_child(argc, argv)) return *exit_code;

  testing::InitGoogleTest(&argc, argv);
  if (GTEST_FLAG_GET(list_tests)) return list_tests();
  testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
  listeners.Append(new hang_detector{hang_limit});  // GoogleTest deletes them
  listeners.Append(new leak_check);
  return RUN_ALL_TESTS();
}
