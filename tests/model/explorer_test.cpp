// SPDX-License-Identifier: MIT
// The explorer finds what it says it finds, and passes what is right.
#include "explorer.hpp"

#include <gtest/gtest.h>
#include <cadre_model/futex.hpp>

#include <array>
#include <bitset>
#include <chrono>
#include <thread>

#include "holds.hpp"

namespace cadre_model {
namespace {

using cadre::sync::atomic;
using cadre::sync::futex_wait;
using cadre::sync::futex_wake;
using word = atomic<std::uint32_t>;

const auto soon = std::chrono::steady_clock::time_point{} + std::chrono::seconds{1};

TEST(explorer, two_threads_of_two_steps_have_six_schedules) {
  const result r = explore({.preemptions = unlimited}, [] {
    atomic<int> a{0};
    in_parallel([&] { a = 1, a = 2; }, [&] { a = 3, a = 4; });
  });

  EXPECT_FALSE(r.failure);
  EXPECT_EQ(r.schedules, 6U);
}

TEST(explorer, three_threads_of_two_steps_have_ninety_schedules) {
  const result r = explore({.preemptions = unlimited}, [] {
    atomic<int> a{0};
    in_parallel([&] { a = 1, a = 2; }, [&] { a = 3, a = 4; }, [&] { a = 5, a = 6; });
  });

  EXPECT_FALSE(r.failure);
  EXPECT_EQ(r.schedules, 90U);  // 6! / (2! 2! 2!)
}

TEST(explorer, the_bound_counts_preemptions_only) {
  const auto schedules = [](int preemptions) {
    return explore({.preemptions = preemptions},
                   [] {
                     atomic<int> a{0};
                     in_parallel([&] { a = 1, a = 2; }, [&] { a = 3, a = 4; });
                   })
        .schedules;
  };

  EXPECT_EQ(schedules(0), 2U);  // 1 2 3 4 and 3 4 1 2
  EXPECT_EQ(schedules(1), 4U);  // and 1 3 4 2 and 3 1 2 4
  EXPECT_EQ(schedules(2), 6U);  // and 1 3 2 4 and 3 1 4 2
}

TEST(explorer, the_order_of_steps_that_do_not_touch_makes_no_schedule) {
  const result r = explore({.preemptions = unlimited}, [] {
    atomic<int> a{0}, b{0}, seen{0};
    in_parallel([&] { a = 1, a = seen.load(); }, [&] { b = 1, b = seen.load(); });
  });

  EXPECT_FALSE(r.failure);
  EXPECT_EQ(r.schedules, 1U);
}

// A small program of loads, stores and exchanges on three words, made from a number, and a hash of
// all that its threads saw.
struct program {
  unsigned number;

  void operator()(std::bitset<4096>& outcomes) const {
    std::array<atomic<int>, 3> words{};
    std::array<int, 3> seen{};
    const auto thread = [&](unsigned id) {
      unsigned random = number * 3 + id + 1;
      int sum = 0;
      for (int i = 0; i < 3; ++i) {
        random = random * 1664525 + 1013904223;
        atomic<int>& w = words[random >> 16 & 1 ? 2 : random >> 18 & 1];
        const int value = static_cast<int>(random >> 20 & 3) + 1;
        switch (random >> 24 & 3) {
          case 0:
            w.store(value);
            break;
          case 1:
            sum = sum * 5 + w.exchange(value);
            break;
          default:
            sum = sum * 5 + w.load();
        }
      }
      seen[id] = sum;
    };
    in_parallel([&] { thread(0); }, [&] { thread(1); }, [&] { thread(2); });
    std::size_t hash = 0;
    for (const auto& w : words) hash = hash * 131 + static_cast<std::size_t>(w.load());
    for (const int sum : seen) hash = hash * 131 + static_cast<std::size_t>(sum);
    outcomes.set(hash % outcomes.size());
  }
};

TEST(explorer, the_reduction_loses_no_outcome) {
  std::uint64_t reduced = 0;
  std::uint64_t all = 0;
  for (unsigned number = 0; number < 100; ++number) {
    for (const int preemptions : {1, 2, unlimited}) {
      std::bitset<4096> expected, outcomes;
      const program p{number};
      all += explore({.preemptions = preemptions, .reduce = false}, [&] { p(expected); }).schedules;
      reduced += explore({.preemptions = preemptions}, [&] { p(outcomes); }).schedules;
      EXPECT_EQ(outcomes, expected) << "program " << number << ", preemptions " << preemptions;
    }
  }
  EXPECT_LT(reduced, all / 4);
}

// The thread that stores waits for another one, which would have had to go first.
TEST(explorer, the_reduction_knows_that_a_waiting_thread_can_be_let_go_earlier) {
  std::array<bool, 2> seen{};

  EXPECT_TRUE(holds([&] {
    atomic<int> x{0}, unrelated{0};
    in_parallel([&] { seen[static_cast<std::size_t>(x.load())] = true; },
                [&] {
                  std::thread{[&] { unrelated.store(1); }}.join();
                  x.store(1);
                });
  }));

  EXPECT_EQ(seen, (std::array{true, true}));
}

TEST(explorer, every_outcome_of_a_race_is_seen) {
  std::array<bool, 4> seen{};

  const result r = explore([&] {
    atomic<int> n{0};
    const auto increment = [&] { n.store(n.load() + 1); };
    in_parallel(increment, increment, increment);
    seen[static_cast<std::size_t>(n.load())] = true;
  });

  EXPECT_FALSE(r.failure);
  EXPECT_EQ(seen, (std::array{false, true, true, true}));
}

TEST(explorer, a_lost_increment_is_found_and_its_schedule_told) {
  const result r = explore([] {
    atomic<int> n{0};
    label(n, "n");
    const auto increment = [&] { n.store(n.load() + 1); };
    in_parallel(increment, increment);
    check(n.load() == 2, "no increment is lost");
  });

  EXPECT_TRUE(fails_with("no increment is lost", r));
  EXPECT_TRUE(fails_with("with 1 preemptions", r));
  EXPECT_TRUE(
      fails_with("  thread 1  load n: 0\n"
                 "  thread 2  load n: 0\n"
                 "  thread 2  store n: 0 -> 1\n"
                 "  thread 1  store n: 1\n"
                 "  body      load n: 1\n",
                 r));
}

TEST(explorer, atomic_increments_pass) {
  EXPECT_TRUE(holds({.preemptions = unlimited}, [] {
    atomic<int> n{0};
    const auto increment = [&] { n.fetch_add(1); };
    in_parallel(increment, increment, increment);
    check(n.load() == 3, "no increment is lost");
  }));
}

class lock {
 public:
  void acquire() {
    while (taken_.exchange(1) != 0) futex_wait(taken_, 1);
  }
  void release() {
    taken_.store(0);
    futex_wake(&taken_);
  }

 private:
  word taken_{0};
};

TEST(explorer, two_locks_in_opposite_order_are_a_deadlock) {
  const result r = explore([] {
    lock a, b;
    in_parallel([&] { a.acquire(), b.acquire(), b.release(), a.release(); },
                [&] { b.acquire(), a.acquire(), a.release(), b.release(); });
  });

  EXPECT_TRUE(fails_with("deadlock", r));
  EXPECT_TRUE(fails_with("thread 1 is asleep\n  thread 2 is asleep", r));
}

TEST(explorer, two_locks_in_one_order_pass) {
  EXPECT_TRUE(holds([] {
    lock a, b;
    const auto both = [&] { a.acquire(), b.acquire(), b.release(), a.release(); };
    in_parallel(both, both);
  }));
}

// How a worker goes to sleep: W1 announce, W2 look once more; P1 publish, P2 read the sleepers.
struct sleep_and_wake {
  bool announce_first;
  int spins = 0;

  void operator()() const {
    word work{0}, sleepers{0}, gate{0};
    label(work, "work"), label(sleepers, "sleepers"), label(gate, "gate");
    in_parallel(
        [&] {
          for (int turn = 0; turn < spins; ++turn) {
            if (work.load() != 0) return;
            cadre::sync::pause();
          }
          const std::uint32_t ticket = gate.load();
          if (announce_first) sleepers.fetch_add(1);  // W1
          const bool found = work.load() != 0;        // W2
          if (!announce_first) sleepers.fetch_add(1);
          if (!found) futex_wait(gate, ticket);
        },
        [&] {
          work.store(1);               // P1
          if (sleepers.load() != 0) {  // P2
            gate.fetch_add(1);
            futex_wake(&gate);
          }
        });
  }
};

TEST(explorer, announcing_before_the_last_look_loses_no_wake_up) {
  EXPECT_TRUE(holds(sleep_and_wake{.announce_first = true}));
  EXPECT_TRUE(holds({.spurious = true}, sleep_and_wake{.announce_first = true}));
}

TEST(explorer, announcing_after_the_last_look_loses_a_wake_up) {
  EXPECT_TRUE(fails_with("deadlock", explore(sleep_and_wake{.announce_first = false})));
}

TEST(explorer, what_comes_after_a_bounded_spin_is_explored) {
  EXPECT_TRUE(holds(sleep_and_wake{.announce_first = true, .spins = 20}));
  EXPECT_TRUE(
      fails_with("spins out", explore(sleep_and_wake{.announce_first = false, .spins = 20})));
}

TEST(explorer, a_wait_without_a_loop_survives_no_spurious_wake_up) {
  const auto body = [] {
    word ready{0};
    in_parallel(
        [&] {
          if (ready.load() == 0) futex_wait(ready, 0);
          check(ready.load() == 1, "the waiter sees what it waits for");
        },
        [&] {
          ready.store(1);
          futex_wake(&ready);
        });
  };

  EXPECT_TRUE(holds({.spurious = false}, body));
  EXPECT_TRUE(fails_with("wakes spuriously", explore({.spurious = true}, body)));
}

TEST(explorer, a_deadline_may_pass_at_any_time_or_not_at_all) {
  bool woken = false;
  bool timed_out = false;

  EXPECT_TRUE(holds([&] {
    word ready{0};
    in_parallel([&] { (futex_wait(ready, 0, soon) ? woken : timed_out) = true; },
                [&] {
                  ready.store(1);
                  futex_wake(&ready);
                });
  }));

  EXPECT_TRUE(woken);
  EXPECT_TRUE(timed_out);
}

TEST(explorer, a_deadline_ends_a_wait_that_nobody_would_end) {
  EXPECT_TRUE(holds([] {
    word ready{0};
    in_parallel([&] { check(!futex_wait(ready, 0, soon), "the wait times out"); });
  }));
}

TEST(explorer, a_spin_lock_ends) {
  EXPECT_TRUE(holds([] {
    atomic<bool> taken{false};
    int inside = 0;
    const auto critical = [&] {
      while (taken.exchange(true)) cadre::sync::pause();
      check(++inside == 1, "one thread at a time");
      static_cast<void>(taken.load());
      --inside;
      taken.store(false);
    };
    in_parallel(critical, critical, critical);
  }));
}

TEST(explorer, spinning_for_what_nobody_does_is_a_deadlock) {
  const result r = explore([] {
    atomic<bool> ready{false};
    in_parallel([&] {
      while (!ready.load()) cadre::sync::yield();
    });
  });

  EXPECT_TRUE(fails_with("deadlock", r));
  EXPECT_TRUE(fails_with("thread 1 is spinning", r));
}

TEST(explorer, two_threads_that_undo_each_other_are_a_livelock) {
  const result r = explore([] {
    atomic<int> turn{0};
    in_parallel(
        [&] {
          while (turn.exchange(1) != 2) cadre::sync::pause();
        },
        [&] {
          while (turn.exchange(3) != 2) cadre::sync::pause();
        });
  });

  EXPECT_TRUE(fails_with("livelock", r));
}

TEST(explorer, a_search_that_gives_up_does_not_pass) {
  const result r = explore({.preemptions = unlimited, .max_schedules = 5}, [] {
    atomic<int> a{0};
    in_parallel([&] { a = 1, a = 2; }, [&] { a = 3, a = 4; });
  });

  EXPECT_TRUE(fails_with("gave up after 5 schedules", r));
}

TEST(explorer, a_body_that_does_not_repeat_itself_is_a_failure) {
  int run = 0;
  const result r = explore([&] {
    atomic<int> a{0};
    const auto once = [&] { a = 1; };
    if (++run % 2 == 0) {
      in_parallel(once, once, once);
    } else {
      in_parallel(once, once);
    }
  });

  EXPECT_TRUE(fails_with("does not repeat itself", r));
}

TEST(explorer, a_body_may_start_threads_several_times) {
  EXPECT_TRUE(holds([] {
    atomic<int> n{0};
    in_parallel([&] { n = 1; });
    in_parallel([&] { check(n == 1, "the first threads have ended"), n = 2; });
    check(n == 2, "the second threads have ended");
  }));
}

constinit atomic<int> a_global{5};

TEST(explorer, outside_a_body_atomics_are_plain_variables) {
  EXPECT_EQ(a_global++, 5);
  EXPECT_EQ(a_global.load(), 6);

  int expected = 5;
  EXPECT_FALSE(a_global.compare_exchange_strong(expected, 9));
  EXPECT_EQ(expected, 6);
}

}  // namespace
}  // namespace cadre_model
