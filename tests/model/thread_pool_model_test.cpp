// SPDX-License-Identifier: MIT
// A whole thread pool under every schedule: submit, sleep, wake, wait inside calls, shut down.
//
// Each schedule makes a pool and destroys it; the destructor waits for the calls and joins the
// threads. So a call that nobody runs, or a wake-up that is lost, is a deadlock.
#include <gtest/gtest.h>
#include <cadre/errors.hpp>
#include <cadre/hooks.hpp>
#include <cadre/promise.hpp>
#include <cadre/thread_pool_executor.hpp>
#include <cadre/wait.hpp>

#include <array>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "holds.hpp"
#include "sync/futex.hpp"

namespace cadre_model {
namespace {

using cadre::future;
using cadre::promise;
using cadre::thread_pool_executor;
using cadre::sync::atomic;

/// A search with many threads: one preemption less.
const options wide{.preemptions = default_preemptions() - 1};

/// Its workers do not spin before they sleep: what is modelled here comes after that.
thread_pool_executor make_pool(int workers, cadre::thread_pool_options options = {}) {
  options.max_workers = workers;
  options.spin = std::chrono::nanoseconds{0};
  options.thread_name_prefix = "model";
  return thread_pool_executor{std::move(options)};
}

TEST(thread_pool_model, calls_after_each_other_find_the_worker_awake_or_asleep) {
  EXPECT_TRUE(holds([] {
    auto pool = make_pool(1);
    check(pool.submit([] { return 1; }).get() == 1, "the first call runs");
    check(pool.submit([] { return 2; }).get() == 2, "the second call runs");
  }));
}

TEST(thread_pool_model, calls_at_once_run_though_nobody_waits_for_them) {
  EXPECT_TRUE(holds([] {
    atomic<int> ran{0};
    {
      auto pool = make_pool(1);
      pool.post([&] { ++ran; });
      pool.post([&] { ++ran; });
    }
    check(ran == 2, "the destructor has waited for both");
  }));
}

TEST(thread_pool_model, a_second_worker_runs_what_the_first_cannot) {
  EXPECT_TRUE(holds(wide, [] {
    auto pool = make_pool(2);
    promise<void> opened;
    auto open = pool.submit([gate = opened.get_future()] { gate.get(); });
    pool.submit([&] { opened.set_value(); }).get();
    open.get();
  }));
}

/// Two calls, each of which waits for the other in a way that the pool cannot see.
struct meeting {
  void arrive(int who) {
    here[who].store(true);
    while (!here[1 - who].load()) cadre::sync::pause();
  }
  atomic<bool> here[2]{};
};

TEST(thread_pool_model, two_workers_run_two_calls_at_the_same_time) {
  EXPECT_TRUE(holds({.preemptions = 1}, [] {
    auto pool = make_pool(2);
    meeting m;
    auto a = pool.submit([&] { m.arrive(0); });
    auto b = pool.submit([&] { m.arrive(1); });
    a.get();
    b.get();
  }));
}

TEST(thread_pool_model, a_busy_worker_leaves_one_of_two_calls_to_the_other) {
  EXPECT_TRUE(holds({.preemptions = 1}, [] {
    auto pool = make_pool(2);
    atomic<bool> begun{false}, submitted{false};
    pool.post([&] {
      begun = true;
      while (!submitted) cadre::sync::pause();
    });
    pool.post([] {});
    while (!begun) cadre::sync::pause();
    meeting m;
    auto a = pool.submit([&] { m.arrive(0); });
    auto b = pool.submit([&] { m.arrive(1); });
    submitted = true;
    a.get();
    b.get();
  }));
}

TEST(thread_pool_model, two_workers_run_two_calls_of_a_bulk_at_the_same_time) {
  EXPECT_TRUE(holds({.preemptions = 1}, [] {
    auto pool = make_pool(2);
    meeting m;
    for (auto& f : pool.submit_bulk([&](int who) { m.arrive(who); }, std::array{0, 1})) f.get();
  }));
}

TEST(thread_pool_model, two_workers_run_two_calls_of_a_call_at_the_same_time) {
  EXPECT_TRUE(holds({.preemptions = 1}, [] {
    auto pool = make_pool(2);
    meeting m;
    pool.submit([&] {
          pool.post([&] { m.arrive(0); });
          pool.post([&] { m.arrive(1); });
        })
        .get();
  }));
}

TEST(thread_pool_model, two_workers_that_sleep_run_two_calls_at_the_same_time) {
  EXPECT_TRUE(holds({.preemptions = 0}, [] {
    auto pool = make_pool(2);
    for (int round = 0; round < 2; ++round) {
      meeting m;
      auto a = pool.submit([&] { m.arrive(0); });
      auto b = pool.submit([&] { m.arrive(1); });
      a.get();
      b.get();
    }
  }));
}

TEST(thread_pool_model, calls_of_two_threads_run) {
  EXPECT_TRUE(holds({.preemptions = 1}, [] {
    auto pool = make_pool(1);
    const auto submit = [&](int n) { check(pool.submit([n] { return n; }).get() == n, "it runs"); };
    in_parallel([&] { submit(1); }, [&] { submit(2); });
  }));
}

TEST(thread_pool_model, a_call_of_priority_runs) {
  EXPECT_TRUE(holds([] {
    auto pool = make_pool(1);
    pool.submit([] {}).get();
    pool.submit({.priority = 1}, [] {}).get();
    pool.submit({.priority = -1}, [] {}).get();
  }));
}

// Not deeper in the nightly run: each deadline doubles the schedules, and three preemptions have more
// than three million.
/// Submits two calls to a pool of one worker, while `meanwhile` looks on, and checks the order.
template <typename Meanwhile>
void check_that_the_first_begins_first(int first, int second, Meanwhile meanwhile) {
  int begun = 0;
  {
    auto pool = make_pool(1);
    pool.submit([] {}).get();  // the worker is there, and about to look for more
    const auto begin = [&](int n) { check(begun++ == n, "calls begin in their order"); };
    in_parallel(
        [&] {
          (void)pool.submit({.priority = first}, begin, 0);
          (void)pool.submit({.priority = second}, begin, 1);
        },
        [&] { meanwhile(pool); });
  }
  check(begun == 2, "both have run");
}

TEST(thread_pool_model, a_call_of_a_lower_priority_does_not_overtake) {
  EXPECT_TRUE(holds(wide, [] { check_that_the_first_begins_first(0, -1, [](auto&) {}); }));
  EXPECT_TRUE(holds(wide, [] { check_that_the_first_begins_first(1, 0, [](auto&) {}); }));
}

TEST(thread_pool_model, a_call_of_a_lower_priority_does_not_overtake_while_somebody_counts) {
  EXPECT_TRUE(holds({.preemptions = 1}, [] {
    check_that_the_first_begins_first(0, -1, [](auto& pool) { (void)pool.stats(); });
  }));
}

TEST(thread_pool_model, a_worker_that_retires_leaves_no_call_behind) {
  EXPECT_TRUE(holds({.preemptions = 2}, [] {
    auto pool = make_pool(1, {.idle_timeout = std::chrono::milliseconds{1}});
    pool.submit([] {}).get();
    pool.submit([] {}).get();
  }));
}

// --- control ---

TEST(thread_pool_model, a_call_that_was_submitted_in_a_pause_runs_when_that_is_over) {
  EXPECT_TRUE(holds([] {
    auto pool = make_pool(1);
    pool.pause();
    auto f = pool.submit([] { return 1; });
    pool.resume();
    check(f.get() == 1, "the call runs");
  }));
}

TEST(thread_pool_model, a_pause_beside_a_call_that_is_submitted_ends_in_order) {
  EXPECT_TRUE(holds(wide, [] {
    auto pool = make_pool(1);
    auto first = pool.submit([] { return 1; });
    pool.pause();
    pool.wait_idle();
    auto second = pool.submit([] { return 2; });
    check(!second.done(), "nothing begins in a pause");
    pool.resume();
    check(first.get() + second.get() == 3, "both run");
  }));
}

TEST(thread_pool_model, whoever_waits_until_a_pool_is_idle_finds_all_calls_done) {
  EXPECT_TRUE(holds(wide, [] {
    auto pool = make_pool(2);
    auto a = pool.submit([&] { pool.post([] {}); });
    auto b = pool.submit([] {});
    pool.wait_idle();
    check(a.done() && b.done(), "the futures are done");
    check(pool.stats().pending == 0, "nothing is left");
  }));
}

TEST(thread_pool_model, a_worker_that_is_added_runs_what_waits) {
  EXPECT_TRUE(holds(wide, [] {
    meeting both;
    auto pool = make_pool(1);
    auto a = pool.submit([&] { both.arrive(0); });
    auto b = pool.submit([&] { both.arrive(1); });
    pool.resize(2);
    a.get();
    b.get();
  }));
}

TEST(thread_pool_model, a_worker_that_is_one_too_many_leaves_no_call_behind) {
  EXPECT_TRUE(holds(wide, [] {
    auto pool = make_pool(2);
    auto a = pool.submit([&] { pool.post([] {}); });
    auto b = pool.submit([] {});
    pool.resize(1);
    a.get();
    b.get();
  }));
}

// --- waits inside calls ---

TEST(thread_pool_model, the_only_worker_runs_the_call_that_its_call_waits_for) {
  EXPECT_TRUE(holds([] {
    auto pool = make_pool(1);
    auto outer = pool.submit([&] { return pool.submit([] { return 20; }).get() + 1; });
    check(outer.get() == 21, "both calls ran");
  }));
}

TEST(thread_pool_model, a_call_that_two_wait_for_runs_once) {
  EXPECT_TRUE(holds(wide, [] {
    auto pool = make_pool(2);
    atomic<int> runs{0};
    auto shared = pool.submit([&] { return ++runs; });
    auto waits = pool.submit([&] { return shared.get(); });
    check(waits.get() == 1 && shared.get() == 1 && runs == 1, "it ran once");
  }));
}

TEST(thread_pool_model, a_chain_of_waits_ends_on_one_worker) {
  EXPECT_TRUE(holds([] {
    auto pool = make_pool(1);
    auto a = pool.submit([] { return 1; });
    auto b = pool.submit([&] { return a.get() + 1; });
    auto c = pool.submit([&] { return b.get() + 1; });
    check(c.get() == 3, "all three ran");
  }));
}

TEST(thread_pool_model, a_chain_of_waits_ends_on_two_workers) {
  EXPECT_TRUE(holds({.preemptions = 1}, [] {
    auto pool = make_pool(2);
    auto a = pool.submit([] { return 1; });
    auto b = pool.submit([&] { return a.get() + 1; });
    auto c = pool.submit([&] { return a.get() + b.get(); });
    check(c.get() == 3, "all three ran");
  }));
}

TEST(thread_pool_model, a_chain_against_the_order_of_submission_ends) {
  EXPECT_TRUE(holds([] {
    auto pool = make_pool(1);
    promise<future<int>> later;
    auto first = pool.submit([f = later.get_future()] { return f.get().get() + 1; });
    later.set_value(pool.submit([] { return 1; }));
    check(first.get() == 2, "both ran");
  }));
}

TEST(thread_pool_model, a_worker_that_waits_for_another_thread_is_replaced) {
  EXPECT_TRUE(holds([] {
    auto pool = make_pool(1);
    promise<int> outside;
    auto blocked = pool.submit([f = outside.get_future()] { return f.get(); });
    outside.set_value(pool.submit([] { return 7; }).get());
    check(blocked.get() == 7, "both ran");
  }));
}

TEST(thread_pool_model, two_calls_that_wait_for_each_other_are_told) {
  EXPECT_TRUE(holds({.preemptions = 1}, [] {
    auto pool = make_pool(2);
    promise<future<int>> second;
    auto a = pool.submit([f = second.get_future()] { return f.get().get(); });
    auto b = pool.submit([&] { return a.get(); });
    second.set_value(b);
    int told = 0;
    for (const auto& f : {a, b}) {
      try {
        f.get();
      } catch (const cadre::deadlock_error&) {
        ++told;
      }
    }
    check(told == 2, "one is told, the other gets its exception");
  }));
}

TEST(thread_pool_model, a_done_callback_may_wait_for_what_another_call_does) {
  EXPECT_TRUE(holds({.preemptions = 1}, [] {
    auto pool = make_pool(2);
    promise<void> opened;
    auto f = pool.submit([] {});
    f.add_done_callback([gate = opened.get_future()](auto) {
      const bool on_worker = this_thread_id() != 0;
      if (on_worker) gate.wait();
    });
    pool.submit([] {}).get();
    opened.set_value();
  }));
}

// --- the end ---

TEST(thread_pool_model, shutdown_runs_what_was_accepted_and_refuses_the_rest) {
  EXPECT_TRUE(holds([] {
    auto pool = make_pool(1);
    std::optional<future<int>> accepted;
    in_parallel(
        [&] {
          try {
            accepted = pool.submit([] { return 1; });
          } catch (const cadre::shutdown_error&) {
          }
        },
        [&] { pool.shutdown(); });
    check(!accepted || (accepted->done() && accepted->get() == 1), "what was accepted ran");
  }));
}

TEST(thread_pool_model, shutdown_can_cancel_what_is_pending) {
  EXPECT_TRUE(holds([] {
    auto pool = make_pool(1);
    auto f = pool.submit([] {});
    in_parallel([&] { pool.shutdown({.cancel_pending = true}); }, [&] { f.cancel(); });
    check(f.done(), "it ran or was cancelled");
    const auto s = pool.stats();
    check(s.submitted == 1 && s.finished + s.cancelled == 1, "and was counted as what it did");
  }));
}

TEST(thread_pool_model, shutdown_may_be_called_twice_at_once) {
  EXPECT_TRUE(holds(wide, [] {
    auto pool = make_pool(1);
    auto f = pool.submit([] {});
    const auto shut_down = [&] { check(pool.shutdown().complete && f.done(), "all is done"); };
    in_parallel(shut_down, shut_down);
  }));
}

TEST(thread_pool_model, shutdown_may_be_called_by_a_call) {
  EXPECT_TRUE(holds([] {
    auto pool = make_pool(1);
    auto f = pool.submit([&] { pool.shutdown(); });
    auto g = [&]() -> std::optional<future<void>> {
      try {
        return pool.submit([] {});
      } catch (const cadre::shutdown_error&) {
        return {};
      }
    }();
    f.get();
    if (g) g->get();
  }));
}

TEST(thread_pool_model, shutdown_with_a_deadline_returns) {
  EXPECT_TRUE(holds([] {
    auto pool = make_pool(1);
    auto f = pool.submit([] {});
    const auto report = pool.shutdown({.deadline = std::chrono::milliseconds{1}});
    check(!report.complete || f.done(), "a complete shutdown leaves no call");
  }));
}

TEST(thread_pool_model, a_bounded_pool_takes_a_call_when_there_is_room) {
  EXPECT_TRUE(holds([] {
    auto pool = make_pool(1, {.max_pending = 1});
    auto f = pool.submit([] {});
    auto g = pool.submit([] {});
    auto h = pool.submit([] {});
    h.get();
    check(f.done() && g.done(), "calls run in their order");
  }));
}

TEST(thread_pool_model, a_submitter_that_waits_for_room_is_refused_at_the_end) {
  EXPECT_TRUE(holds(wide, [] {
    auto pool = make_pool(1, {.max_pending = 1});
    promise<void> opened;
    auto running = pool.submit([gate = opened.get_future()] { gate.get(); });
    in_parallel(
        [&] {
          try {
            pool.post([] {});
            pool.post([] {});
          } catch (const cadre::shutdown_error&) {
          }
        },
        [&] { pool.shutdown({.wait = false}); });
    opened.set_value();
  }));
}

TEST(thread_pool_model, an_initializer_that_throws_fails_every_call) {
  EXPECT_TRUE(holds([] {
    cadre::set_unhandled_hook([](const cadre::unhandled&) noexcept {});
    auto pool = make_pool(1, {.initializer = [] { throw std::runtime_error{"no"}; }});
    for (int i = 0; i < 2; ++i) {
      try {
        pool.submit([] {}).get();
        check(false, "no call runs");
      } catch (const cadre::broken_executor&) {
      }
    }
  }));
}

}  // namespace
}  // namespace cadre_model
