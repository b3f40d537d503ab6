// SPDX-License-Identifier: MIT
// The explorer runs whole programs: their exceptions, threads, clocks, thread_local variables and
// memory.
#include <gtest/gtest.h>
#include <cadre_model/futex.hpp>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <thread>

#include "explorer.hpp"
#include "holds.hpp"

namespace cadre_model {
namespace {

using cadre::sync::atomic;
using cadre::sync::futex_wait;
using word = atomic<std::uint32_t>;

const auto soon = std::chrono::steady_clock::time_point{} + std::chrono::seconds{1};

TEST(explorer, an_exception_that_leaves_a_thread_is_a_failure) {
  const result r = explore([] { in_parallel([] { throw std::runtime_error{"disk full"}; }); });

  EXPECT_TRUE(fails_with("an exception left the thread: disk full", r));
}

TEST(explorer, a_crash_is_a_failure) {
  const result r = explore([] {
    atomic<int*> place{nullptr};
    int value = 0;
    in_parallel([&] { place = &value; }, [&] { check(*place.load() == 0, "it was set first"); });
  });

  EXPECT_TRUE(fails_with("crash: Segmentation fault", r));
}

TEST(explorer, a_call_of_terminate_is_a_failure) {
  const auto refuse = [] { throw std::runtime_error{"no"}; };
  const auto promise_not_to = [&]() noexcept { refuse(); };

  EXPECT_TRUE(fails_with("crash: Aborted", explore([&] { in_parallel(promise_not_to); })));
}

// Each thread has its own stack of exceptions that it handles.
TEST(explorer, a_thread_may_be_preempted_while_it_handles_an_exception) {
  EXPECT_TRUE(holds([] {
    atomic<int> step{0};
    const auto handle = [&](int value) {
      try {
        step.fetch_add(1);
        throw value;
      } catch (int caught) {
        step.fetch_add(1);
        try {
          throw;
        } catch (int again) {
          check(caught == value && again == value, "a rethrow throws the thread's own exception");
        }
        step.fetch_add(1);
      }
    };
    in_parallel([&] { handle(1); }, [&] { handle(2); });
  }));
}

TEST(explorer, threads_may_be_started_and_joined_anywhere) {
  EXPECT_TRUE(holds([] {
    atomic<int> n{0};
    std::thread outer{[&] {
      std::thread inner{[&] { n.fetch_add(1); }};
      n.fetch_add(1);
      inner.join();
    }};
    n.fetch_add(1);
    outer.join();
    check(n.load() == 3, "all threads have ended");
  }));
}

TEST(explorer, a_thread_that_outlives_the_body_is_a_failure) {
  const result r = explore([] {
    atomic<int> n{0};
    std::thread{[&] { n.fetch_add(1); }}.detach();
  });

  EXPECT_TRUE(fails_with("thread 1 outlives the body", r));
}

TEST(explorer, the_clock_shows_the_deadline_that_has_passed) {
  EXPECT_TRUE(holds([] {
    word nobody{0};
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::hours{24};
    futex_wait(nobody, 0, deadline);
    check(std::chrono::steady_clock::now() == deadline, "time has passed");
  }));
}

TEST(explorer, a_spin_that_looks_at_the_clock_ends) {
  EXPECT_TRUE(holds([] {
    atomic<bool> ready{false};
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds{1};
    while (!ready && std::chrono::steady_clock::now() < end) cadre::sync::pause();
  }));
}

thread_local int mine = 7;

TEST(explorer, thread_local_variables_belong_to_one_thread_and_schedule) {
  EXPECT_TRUE(holds([] {
    atomic<int> step{0};
    const auto use = [&] {
      check(mine == 7, "a thread starts with the initial value");
      mine = this_thread_id();
      step.fetch_add(1);
      check(mine == this_thread_id(), "no other thread changes it");
    };
    use();
    in_parallel(use, use);
  }));
  EXPECT_EQ(mine, 7);
}

TEST(explorer, a_freed_atomic_is_not_used) {
  const result r = explore([] {
    auto flag = std::make_unique<atomic<int>>(0);
    in_parallel([&, f = flag.get()] { f->store(1); },
                [&, f = flag.get()] {
                  if (f->load() == 0) flag.reset();
                });
  });

  EXPECT_TRUE(fails_with("used after its block was freed", r));
}

TEST(explorer, an_atomic_of_a_left_stack_frame_is_not_used) {
  const result r = explore([] {
    atomic<word*> place{nullptr};
    in_parallel(
        [&] {
          const auto wait = [&] {
            word signal{0};
            place.store(&signal);
            futex_wait(signal, 0, soon);
          };
          wait();
          place.load();
        },
        [&] {
          if (word* signal = place.load()) signal->store(1);
        });
  });

  EXPECT_TRUE(fails_with("used after its stack frame was left", r));
}

TEST(explorer, a_block_freed_twice_is_a_failure) {
  const result r = explore([] {
    atomic<int> users{2};
    int* shared = new int{0};
    const auto drop = [&] {
      if (users.load() == 1) delete shared;
      if (users.fetch_sub(1) == 1) delete shared;
    };
    in_parallel(drop, drop);
  });

  EXPECT_TRUE(fails_with("no block is freed twice", r));
}

TEST(explorer, a_leaked_block_is_a_failure) {
  const auto body = [] {
    atomic<int> users{2};
    int* shared = new int{0};
    const auto drop = [&] {
      if (users.load() == 1) {
        delete shared;
      } else {
        users.fetch_sub(1);
      }
    };
    in_parallel(drop, drop);
  };

  EXPECT_TRUE(fails_with("1 blocks were allocated and not freed", explore(body)));
  EXPECT_FALSE(explore({.leaks = false}, body).failure);
}

}  // namespace
}  // namespace cadre_model
