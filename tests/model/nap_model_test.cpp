// SPDX-License-Identifier: MIT
// Threads that nap while workers have more to do, under every schedule. A nap without end shows who forgets a
// sleeper: outside tests it ends by itself.
#include <gtest/gtest.h>

#include "executor/dispatcher.hpp"
#include "future/waiter.hpp"
#include "holds.hpp"

namespace cadre_model {
namespace {

using cadre::detail::dispatcher;
using cadre::detail::end_sleep;
using cadre::detail::late_wake;
using cadre::detail::state_base;
using cadre::sync::atomic;
using cadre::sync::never;
using cadre::sync::parker;

const auto some_day = never - std::chrono::hours{1};

/// A worker that has more to do, while it lives on its thread.
class busy_worker final : public cadre::detail::waiting_worker {
 public:
  explicit busy_worker(dispatcher& pool) : pool_{pool} {
    cadre::detail::set_this_thread_worker(this);
  }
  ~busy_worker() { cadre::detail::set_this_thread_worker(nullptr); }

  void claim(state_base&) override {}
  void begin_block(state_base* const*, std::size_t, bool) override {}
  void end_block() noexcept override {}
  bool wake_when_dry(const parker* sleeper) noexcept override {
    pool_.wake_when_dry(sleeper);
    return true;
  }
  void begin_callbacks() noexcept override {}
  bool works_for(const void*) const noexcept override { return false; }
  void repost(state_base&) override {}

 private:
  dispatcher& pool_;
};

// Red when the compare-exchange that ends a nap is a plain store.
TEST(nap_model, a_nap_that_ends_by_itself_gives_no_signal_away) {
  EXPECT_TRUE(holds({.preemptions = 4, .spurious = true}, [] {
    parker p;
    bool taken = false;
    in_parallel([&] { taken = p.nap(some_day); },
                [&] {
                  static_cast<void>(p.signal()); /* and wakes nobody */
                });
    check(taken != p.signalled_now(), "the signal was taken, or is still there");
  }));
}

// Red when wake_when_dry() or wake_napping() drops a sleeper; or the second one takes the place of the first, and
// nobody wakes that.
TEST(nap_model, of_two_that_nap_none_is_forgotten) {
  EXPECT_TRUE(holds({.preemptions = 2}, [] {
    dispatcher pool{1, 0};
    parker first;
    parker second;
    in_parallel([&] { first.nap(never); }, [&] { second.nap(never); },
                [&] {
                  const busy_worker here{pool};
                  end_sleep(first);
                  end_sleep(second);
                  pool.wake_napping();
                });
  }));
}

// Red when end_sleep() takes every sleeper for one that naps.
TEST(nap_model, who_does_not_nap_is_woken_at_once) {
  EXPECT_TRUE(holds({.preemptions = 3}, [] {
    dispatcher pool{1, 0};
    parker p;
    parker awake;
    in_parallel(
        [&] {
          p.park();
          awake.unpark();
        },
        [&] {
          const busy_worker here{pool};
          const late_wake later;
          end_sleep(p);
          awake.park();
        });
  }));
}

// Red when the end of a late_wake wakes nobody, or keep() has no room for one more.
TEST(nap_model, who_was_kept_is_woken_at_the_end) {
  EXPECT_TRUE(holds({.preemptions = 3}, [] {
    parker naps;
    parker sleeps;
    in_parallel([&] { naps.nap(never); }, [&] { sleeps.park(); },
                [&] {
                  late_wake later;
                  end_sleep(naps);
                  late_wake::wake(sleeps);
                });
  }));
}

// Red when a waker touches a parker after its signal: the sleeper that it owes a wake-up has gone.
TEST(nap_model, the_sleeper_may_be_gone_when_it_is_woken) {
  EXPECT_TRUE(holds({.preemptions = 4}, [] {
    dispatcher pool{1, 0};
    atomic<parker*> place{nullptr};
    in_parallel(
        [&] {
          const auto sleep = [&] {
            parker p;
            place.store(&p);
            if (!p.nap(some_day)) p.park();
          };
          sleep();
          static_cast<void>(place.load());
        },
        [&] {
          while (place.load() == nullptr) cadre::sync::pause();
          const busy_worker here{pool};
          end_sleep(*place.load());
          pool.wake_napping();
        });
  }));
}

}  // namespace
}  // namespace cadre_model
