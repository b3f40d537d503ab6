// SPDX-License-Identifier: MIT
// A program of the matrix whose main() is GoogleTest's.
#include <gtest/gtest.h>

extern "C" int run();

TEST(start, of_workers) { EXPECT_EQ(run(), 0); }
