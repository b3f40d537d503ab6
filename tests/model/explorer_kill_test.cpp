// SPDX-License-Identifier: MIT
// The explorer kills a thread as SIGKILL does a process: between any two of its steps, for good.
#include <gtest/gtest.h>
#include <cadre_model/futex.hpp>

#include <array>
#include <memory>

#include "holds.hpp"

namespace cadre_model {
namespace {

using cadre::sync::atomic;

const options first_is_killed{.victim = 1};

TEST(explorer_kill, a_victim_stops_before_each_of_its_steps) {
  std::array<bool, 4> seen{};

  EXPECT_TRUE(holds_if_killed(first_is_killed, [&] {
    atomic<std::size_t> n{0};
    in_parallel([&] { n = 1, n = 2, n = 3; });
    seen[n.load()] = true;
  }));

  EXPECT_EQ(seen, (std::array{true, true, true, true}));
}

TEST(explorer_kill, others_go_on_and_see_what_was_done_before) {
  std::array<bool, 3> seen{};

  EXPECT_TRUE(holds_if_killed(first_is_killed, [&] {
    atomic<std::size_t> n{0};
    std::size_t other_saw = 0;
    in_parallel([&] { n = 1, n = 2; }, [&] { other_saw = n.load(); });
    seen[other_saw] = true;
  }));

  EXPECT_EQ(seen, (std::array{true, true, true}));
}

TEST(explorer_kill, a_victim_runs_no_destructor) {
  bool destroyed = false;

  const result r = explore({.victim = 1, .killed_at = 0}, [&] {
    destroyed = false;
    atomic<int> n{0};
    const auto mark = [&](const int*) { destroyed = true; };
    in_parallel([&] {
      constexpr int anything = 0;
      const std::unique_ptr<const int, decltype(mark)> guard{&anything, mark};
      n = 1;
    });
  });

  EXPECT_FALSE(r.failure) << *r.failure;
  EXPECT_TRUE(r.killed);
  EXPECT_FALSE(destroyed);
}

TEST(explorer_kill, a_lock_that_dies_with_its_owner_is_found) {
  const testing::AssertionResult found = holds_if_killed(first_is_killed, [] {
    atomic<std::uint32_t> taken{0};
    const auto enter = [&] {
      while (taken.exchange(1) != 0) cadre::sync::futex_wait_shared(taken, 1);
      taken.store(0);
      cadre::sync::futex_wake_shared(&taken);
    };
    in_parallel(enter, enter);
  });

  EXPECT_FALSE(found);
  EXPECT_NE(std::string{found.message()}.find("deadlock"), std::string::npos) << found.message();
}

}  // namespace
}  // namespace cadre_model
