// SPDX-License-Identifier: MIT
#include "sync/parker.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace cadre::sync {
namespace {

using clock = std::chrono::steady_clock;

TEST(parker, unpark_before_park_is_kept) {
  parker bed;
  bed.unpark();
  bed.unpark();

  EXPECT_TRUE(bed.park(never));
  EXPECT_FALSE(bed.park(clock::now())) << "two count as one";
}

TEST(parker, park_ends_at_its_deadline_and_not_before) {
  parker bed;
  const auto deadline = clock::now() + std::chrono::milliseconds{5};

  EXPECT_FALSE(bed.park(deadline));

  EXPECT_GE(clock::now(), deadline);
}

TEST(parker, unpark_ends_a_park_of_another_thread) {
  parker bed;
  bool woken = false;
  std::thread sleeper{[&] { woken = bed.park(never); }};

  bed.unpark();
  sleeper.join();

  EXPECT_TRUE(woken);
}

}  // namespace
}  // namespace cadre::sync
