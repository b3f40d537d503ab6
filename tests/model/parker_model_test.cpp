// SPDX-License-Identifier: MIT
// sync/parker.hpp and sync/mutex.hpp under every schedule.
#include <gtest/gtest.h>

#include <mutex>

#include "holds.hpp"
#include "sync/mutex.hpp"
#include "sync/parker.hpp"

namespace cadre_model {
namespace {

using cadre::sync::atomic;
using cadre::sync::parker;

const auto some_day = cadre::sync::never - std::chrono::hours{1};
constexpr options thorough{.preemptions = 4, .spurious = true};

// Red when K1 stores "parked" without looking whether a signal came first.
TEST(parker_model, no_wake_up_is_lost) {
  EXPECT_TRUE(holds(thorough, [] {
    parker p;
    label(p, "parker");
    in_parallel([&] { check(p.park(), "a park without a deadline is ended by unpark()"); },
                [&] { p.unpark(); });
  }));
}

// Red when a signal that was taken is not taken back (the last store of park()).
TEST(parker_model, each_unpark_is_worth_one_park) {
  EXPECT_TRUE(holds(thorough, [] {
    parker p;
    atomic<int> work{0};
    in_parallel(
        [&] {
          p.park();
          check(work.load() >= 1, "the first park() returns after the first unpark()");
          p.park(some_day);
          p.park(some_day);
        },
        [&] {
          work.store(1);
          p.unpark();
        });
    check(!p.signalled_now(), "nothing is left over");
  }));
}

// The owner takes everything, then parks; the others signal only when they make it non-empty.
// Red when unpark() skips the wake of a sleeper whose word it found "parked".
TEST(parker_model, a_list_with_a_parked_owner_is_emptied) {
  EXPECT_TRUE(holds({.preemptions = 3, .spurious = true}, [] {
    parker p;
    atomic<int> ready{0};
    const auto push = [&] {
      if (ready.fetch_add(1) == 0) p.unpark();
    };
    in_parallel(
        [&] {
          for (int taken = 0; taken < 2;) {
            if (const int now = ready.exchange(0)) {
              taken += now;
            } else {
              p.park();
            }
          }
        },
        push, push);
  }));
}

// Red when the compare-exchange that ends a timed-out park() is a plain store.
TEST(parker_model, a_park_that_times_out_gives_no_signal_away) {
  EXPECT_TRUE(holds(thorough, [] {
    parker p;
    bool taken = false;
    in_parallel([&] { taken = p.park(some_day); }, [&] { p.unpark(); });
    check(taken != p.signalled_now(), "the signal was taken, or is still there");
  }));
}

// Red when unpark() touches the word again after its exchange, or park() returns before it.
TEST(parker_model, the_sleeper_may_destroy_it_when_park_returned) {
  EXPECT_TRUE(holds(thorough, [] {
    atomic<parker*> place{nullptr};
    in_parallel(
        [&] {
          const auto sleep = [&] {
            parker p;
            place.store(&p);
            p.park();
          };
          sleep();
          static_cast<void>(place.load());
        },
        [&] {
          while (place.load() == nullptr) cadre::sync::pause();
          place.load()->unpark();
        });
  }));
}

// Red when lock() stores instead of exchanging, or unlock() wakes nobody.
TEST(mutex_model, one_thread_at_a_time_and_all_get_in) {
  EXPECT_TRUE(holds({.preemptions = 3}, [] {
    cadre::sync::mutex m;
    label(m, "mutex");
    atomic<int> inside{0};
    const auto enter = [&] {
      const std::lock_guard lock{m};
      check(inside.fetch_add(1) == 0, "one thread at a time");
      inside.fetch_sub(1);
    };
    in_parallel(enter, enter);
  }));
}

// Red when a woken sleeper takes the mutex as "locked" though others sleep: they do for ever.
TEST(mutex_model, a_second_sleeper_is_woken_too) {
  EXPECT_TRUE(holds({.preemptions = 3}, [] {
    cadre::sync::mutex m;
    label(m, "mutex");
    const auto enter = [&] { const std::lock_guard lock{m}; };
    in_parallel(enter, enter, enter);
  }));
}

}  // namespace
}  // namespace cadre_model
