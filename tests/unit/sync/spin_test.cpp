// SPDX-License-Identifier: MIT
#include "sync/spin.hpp"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "support/timeouts.hpp"

namespace cadre::sync {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

void stay_on(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set);
}

/// Threads that never sleep, on one processor.
class busy_threads {
 public:
  explicit busy_threads(int cpu) {
    for (int i = 0; i < 2; ++i) {
      all_.emplace_back([this, cpu] {
        stay_on(cpu);
        while (!over_) continue;
      });
    }
  }
  ~busy_threads() {
    over_ = true;
    for (std::thread& each : all_) each.join();
  }

 private:
  std::atomic<bool> over_{false};
  std::vector<std::thread> all_;
};

}  // namespace

TEST(spin_credit, is_lost_by_long_sleeps_and_won_back_by_a_short_one) {
  spin_credit credit;
  EXPECT_TRUE(credit.pays());

  credit.spun();
  credit.slept(milliseconds{1}, microseconds{20});
  EXPECT_TRUE(credit.pays()) << "one sleep may be an exception";
  credit.slept(milliseconds{1}, microseconds{20});
  EXPECT_FALSE(credit.pays());

  credit.slept(microseconds{30}, microseconds{20});
  EXPECT_TRUE(credit.pays());
}

TEST(spin_memory, looks_rarely_where_looks_find_nothing) {
  spin_memory memory;
  EXPECT_TRUE(memory.may_look());
  memory.looked(false);

  int looks = 0;
  for (int wait = 0; wait < 160; ++wait) looks += memory.may_look() ? 1 : 0;
  EXPECT_EQ(looks, 10);

  memory.looked(true);
  EXPECT_TRUE(memory.may_look());
}

TEST(spin_memory, yields_no_more_once_somebody_else_had_a_turn) {
  std::thread{[] {
    const int here = ::sched_getcpu();
    stay_on(here);
    const busy_threads beside{here};
    spin_memory memory;
    const auto limit = clock::now() + test::long_time;
    auto now = clock::now();
    ASSERT_TRUE(memory.may_yield());

    while (memory.yield(now) && now < limit) continue;
    memory.lost_turn(now);

    EXPECT_LT(now, limit);
    EXPECT_FALSE(memory.may_yield());
    memory.much_came();
    EXPECT_TRUE(memory.may_yield());
  }}.join();
}

TEST(yield_until, takes_a_turn_after_which_much_has_come_for_that_of_who_works_for_it) {
  std::thread{[] {
    const int here = ::sched_getcpu();
    stay_on(here);
    const busy_threads beside{here};
    for (const bool much : {true, false}) {
      spin_memory memory;
      const auto never_ready = [] { return false; };

      EXPECT_FALSE(yield_until(never_ready, test::long_time, memory, [much] { return much; }));

      EXPECT_EQ(memory.may_yield(), much);
    }
  }}.join();
}

TEST(spin, its_budget_may_be_the_longest_time) {
  constexpr auto longest = std::chrono::nanoseconds::max();
  spin_memory memory;
  for (const bool yields : {true, false}) {
    int looks = 0;
    const auto ready = [&] { return ++looks == 3; };

    while (!(yields ? yield_until(ready, longest, memory) : pause_until(ready, longest))) {
      ASSERT_TRUE(yields && !memory.may_yield());  // others had a turn
      memory.much_came();
    }

    EXPECT_EQ(looks, 3);
  }
}

TEST(spin_until, looks_once_without_a_budget_and_never_again_after_it_was_ready) {
  int looks = 0;
  EXPECT_FALSE(spin_until([&] { return ++looks == 0; }, microseconds{0}));
  EXPECT_EQ(looks, 1);

  // Whoever is ready may have taken a lock.
  for (int ready_at : {1, 2, 5, 50}) {
    looks = 0;
    EXPECT_TRUE(spin_until([&] { return ++looks == ready_at; }, test::long_time));
    EXPECT_EQ(looks, ready_at);
  }
}

}  // namespace cadre::sync
