// SPDX-License-Identifier: MIT
// What goes wrong around threads: initializers, callbacks and destructors that throw, block, resubmit
// or end their pool. The F numbers are those of the project's list of faults.
#include <cadre/errors.hpp>
#include <cadre/inline_executor.hpp>
#include <cadre/promise.hpp>
#include <cadre/thread_pool_executor.hpp>
#include <cadre/timer.hpp>
#include <cadre/wait.hpp>

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "support/gate.hpp"
#include "support/other_thread.hpp"
#include "support/process.hpp"
#include "support/unhandled_log.hpp"

namespace cadre::test {
namespace {

struct no_licence : std::runtime_error {
  no_licence() : runtime_error{"no licence"} {}
};

/// Makes every stack larger than the address space.
void let_no_thread_start() {
  pthread_attr_t huge;
  ::pthread_attr_init(&huge);
  ::pthread_attr_setstacksize(&huge, std::size_t{1} << 60);
  ::pthread_setattr_default_np(&huge);
  ::pthread_attr_destroy(&huge);
}

struct speechless : std::exception {
  const char* what() const noexcept override { return nullptr; }
};
void say_nothing() { throw speechless{}; }

/// With the hook that prints.
int throws_what_says_nothing() {
  {
    thread_pool_executor pool{1};
    pool.post(&say_nothing);
    pool.post([] { throw nullptr; });
    pool.submit([] {}).add_done_callback([](const auto&) { say_nothing(); });
    static_cast<void>(pool.submit({.name = "dropped"}, &say_nothing));
  }
  thread_pool_executor broken{{.max_workers = 1, .initializer = &say_nothing}};
  try {
    broken.submit([] {}).get();
  } catch (const broken_executor& e) {
    std::puts(e.what());
    return 0;
  }
  return 1;
}

int tries_when_no_thread_can_start() {
  let_no_thread_start();
  thread_pool_executor pool{2};
  try {
    static_cast<void>(pool.submit([] { return 42; }));
    std::puts("submitted");
  } catch (const std::system_error& e) {
    std::puts(e.what());
  }
  return 0;
}

int sets_timers_when_no_thread_can_start() {
  let_no_thread_start();
  inline_executor here;
  auto captured = std::make_shared<int>(1);
  const std::weak_ptr<int> alive = captured;
  try {
    static_cast<void>(submit_every(here, std::chrono::hours{1}, [captured] {}));
    std::puts("submitted");
  } catch (const std::system_error& e) {
    std::puts(e.what());
  }
  captured.reset();
  std::puts(alive.expired() ? "nothing is left" : "it leaks");
  return 0;
}

const child_program says_nothing{"throws what says nothing", &throws_what_says_nothing};
const child_program without_threads{"starts no thread", &tries_when_no_thread_can_start};
const child_program without_timers{"sets no timer", &sets_timers_when_no_thread_can_start};

}  // namespace

// F27 (gh-131598).
TEST(thread_pool_fault, f27_shutdown_from_a_done_callback_returns) {
  const gate begin;
  const gate returned;
  thread_pool_executor pool{1};
  pool.submit(&pass, begin.handle(), 0).add_done_callback([&](const future<int>&) {
    pool.shutdown({.cancel_pending = true});
    arrive(returned.handle(), 0);
  });
  const auto queued = pool.submit([] { return 42; });

  begin.open();
  returned.await_arrivals(1);

  EXPECT_TRUE(queued.cancelled());
}

// F29 (gh-87893, gh-109934, gh-92001).
TEST(thread_pool_fault, f29_after_cancel_pending_every_wait_returns) {
  const gate here;
  thread_pool_executor pool{1};
  std::vector<future<int>> all{pool.submit(&pass, here.handle(), 0)};
  here.await_arrivals(1);
  for (int i = 0; i < 10; ++i) all.push_back(pool.submit([i] { return i; }));

  pool.shutdown({.wait = false, .cancel_pending = true});
  here.open();

  EXPECT_EQ(cadre::wait(all).done, all);
  std::size_t reported = 0;
  for (const auto& f : cadre::as_completed(all)) reported += f.done() ? 1 : 0;
  EXPECT_EQ(reported, all.size());
}

// F31.
TEST(thread_pool_fault, f31_shutdown_twice_at_once_waits_in_both) {
  const gate here;
  thread_pool_executor pool{1};
  const auto f = pool.submit(&pass, here.handle(), 42);
  std::atomic<int> saw_it_done{0};
  const auto close = [&] {
    pool.shutdown();
    saw_it_done += f.done() ? 1 : 0;
  };
  other_thread one{close};
  other_thread other{close};

  one.await_asleep();
  other.await_asleep();
  here.open();
  one.join();
  other.join();

  EXPECT_EQ(saw_it_done, 2);
}

// F32.
TEST(thread_pool_fault, f32_the_destructor_waits_for_a_blocked_callback) {
  const gate begin;
  const gate in_callback;
  auto pool = std::make_unique<thread_pool_executor>(1);
  bool called = false;
  pool->submit(&pass, begin.handle(), 0).add_done_callback([&](const future<int>&) {
    pass(in_callback.handle(), 0);
    called = true;
  });
  begin.open();
  in_callback.await_arrivals(1);
  bool called_before_the_end = false;
  other_thread ender{[&] {
    pool.reset();
    called_before_the_end = called;
  }};

  ender.await_asleep();
  in_callback.open();
  ender.join();

  EXPECT_TRUE(called_before_the_end);
}

// F49: CPython's drain stops at the first cancelled future.
TEST(thread_pool_fault, f49_a_throwing_initializer_fails_all_queued_calls_but_cancelled_ones) {
  const unhandled_log log;
  const gate here;
  thread_pool_executor pool{{.max_workers = 1, .initializer = [&] {
                               pass(here.handle(), 0);
                               throw no_licence{};
                             }}};
  std::vector<future<int>> queued;
  for (int i = 0; i < 10; ++i) queued.push_back(pool.submit([i] { return i; }));
  for (std::size_t i = 0; i < 10; i += 2) queued[i].cancel();

  here.open();

  for (std::size_t i = 0; i < 10; ++i) {
    if (i % 2 == 0) {
      EXPECT_THROW(queued[i].get(), cancelled_error);
    } else {
      EXPECT_THROW(queued[i].get(), broken_executor);
    }
  }
}

TEST(thread_pool_fault, f49_a_posted_call_of_a_broken_pool_is_reported) {
  const unhandled_log log;
  const gate here;
  {
    thread_pool_executor pool{{.max_workers = 1, .initializer = [&] {
                                 pass(here.handle(), 0);
                                 throw no_licence{};
                               }}};
    pool.post([] {});
    here.open();
  }

  const auto entries = log.entries();
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[1].rfind("posted call: thread_pool", 0), 0U) << entries[1];
}

TEST(thread_pool_fault, calls_of_a_broken_pool_that_nobody_asks_are_reported_once) {
  const unhandled_log log;
  const gate here;
  {
    thread_pool_executor pool{{.max_workers = 1, .initializer = [&] {
                                 pass(here.handle(), 0);
                                 throw no_licence{};
                               }}};
    for (int i = 0; i < 10; ++i) {
      static_cast<void>(pool.submit([] { return 1; }));
      pool.post([] {});
    }
    here.open();
  }

  EXPECT_EQ(log.entries().size(), 2U) << "the initializer, and one call";
}

TEST(thread_pool_fault, f49_an_initializer_that_throws_on_a_later_worker_breaks_the_pool) {
  const unhandled_log log;
  const gate here;
  std::atomic<int> initialized{0};
  thread_pool_executor pool{{.max_workers = 2, .initializer = [&] {
                               if (++initialized == 2) throw no_licence{};
                             }}};
  const auto running = pool.submit(&pass, here.handle(), 42);
  here.await_arrivals(1);
  const auto queued = pool.submit([] { return 1; });

  EXPECT_THROW(queued.get(), broken_executor);
  here.open();

  EXPECT_EQ(running.get(), 42) << "what runs is not touched";
}

TEST(thread_pool_fault, exceptions_that_say_nothing_do_not_end_the_program) {
  const ended child = says_nothing.run();

  EXPECT_EQ(child.exit_code, 0) << child;
  EXPECT_NE(child.out.find("what() is null"), std::string::npos) << child;
  EXPECT_NE(child.err.find("speechless"), std::string::npos) << child;
}

// F50.
TEST(thread_pool_fault, f50_a_callback_that_throws_stops_nothing) {
  const unhandled_log log;
  const gate begin;
  thread_pool_executor pool{1};
  std::atomic<int> called{0};
  const auto f = pool.submit(&pass, begin.handle(), 42);
  for (int i = 0; i < 3; ++i) {
    f.add_done_callback([&](const future<int>&) {
      ++called;
      throw no_licence{};
    });
  }

  begin.open();
  pool.shutdown();

  EXPECT_EQ(called, 3);
  EXPECT_EQ(log.entries(), std::vector<std::string>(3, "done callback: no licence"));
}

TEST(thread_pool_fault, f50_a_callback_that_blocks_holds_up_neither_waiters_nor_the_pool) {
  const gate begin;
  const gate in_callback;
  thread_pool_executor pool{2};
  const auto f = pool.submit(&pass, begin.handle(), 42);
  f.add_done_callback([&](const future<int>&) { pass(in_callback.handle(), 0); });

  begin.open();
  in_callback.await_arrivals(1);

  EXPECT_EQ(f.get(), 42);
  EXPECT_EQ(pool.submit([] { return 43; }).get(), 43);
  in_callback.open();
}

TEST(thread_pool_fault, f50_a_callback_may_submit_and_wait) {
  const gate begin;
  thread_pool_executor pool{1};
  std::atomic<int> inner{0};
  pool.submit(&pass, begin.handle(), 41).add_done_callback([&](const future<int>& f) {
    inner = pool.submit([n = f.get()] { return n + 1; }).get();
  });

  begin.open();
  // The callback's call is accepted before the pool closes: it runs before the next.
  pool.submit([] {}).get();
  pool.shutdown();

  EXPECT_EQ(inner, 42);
}

TEST(thread_pool_fault, f50_a_callback_may_add_callbacks_to_its_own_future) {
  promise<int> writer;
  int called = 0;
  writer.get_future().add_done_callback(
      [&](const future<int>& f) { f.add_done_callback([&](const future<int>&) { ++called; }); });

  writer.set_value(42);

  EXPECT_EQ(called, 1);
}

// F51 (bpo-14406).
TEST(thread_pool_fault, f51_waits_over_futures_that_complete_meanwhile_return) {
  thread_pool_executor pool{4};
  for (int round = 0; round < 100; ++round) {
    const gate here;
    std::vector<future<int>> all;
    for (int i = 0; i < 20; ++i) all.push_back(pool.submit(&pass, here.handle(), i));
    std::jthread opener{[&] { here.open(); }};

    ASSERT_EQ(cadre::wait(all).done.size(), 20U);
  }
}

// F52 (gh-117344): CPython's idle count drifts, and then it starts too many threads or too few.
TEST(thread_pool_fault, f52_the_count_of_idle_workers_stays_right_under_stress) {
  const gate here;
  thread_pool_executor pool{4};
  for (int round = 0; round < 200; ++round) {
    std::vector<future<int>> all;
    for (int i = 0; i < round % 17; ++i) all.push_back(pool.submit([i] { return i; }));
    if (round % 3 == 0) {
      for (const auto& f : all) f.cancel();
    }
    cadre::wait(all);
  }
  std::vector<future<int>> all;
  for (int i = 0; i < 4; ++i) all.push_back(pool.submit(&pass, here.handle(), i));

  here.await_arrivals(4);  // all four workers can be had
  EXPECT_EQ(pool.stats().idle, 0U);
  EXPECT_EQ(pool.stats().workers, 4U);

  here.open();
}

TEST(thread_pool_fault, f52_after_a_result_its_worker_can_be_had) {
  thread_pool_executor pool{4};

  for (int i = 0; i < 1000; ++i) pool.submit([] {}).get();

  EXPECT_EQ(pool.stats().workers, 1U);
}

// F53.
TEST(thread_pool_fault, f53_a_pool_may_be_destroyed_by_its_own_worker) {
  const gate begin;
  const gate gone;
  auto pool = std::make_unique<thread_pool_executor>(2);
  pool->post([&] {
    pass(begin.handle(), 0);
    pool.reset();
    arrive(gone.handle(), 0);
  });

  begin.open();

  gone.await_arrivals(1);
}

TEST(thread_pool_fault, f53_a_pool_may_be_destroyed_by_the_destructor_of_a_capture) {
  const gate begin;
  const gate gone;
  struct ends_pool {
    ends_pool(std::unique_ptr<thread_pool_executor> p, gate_handle a) : pool{std::move(p)}, at{a} {}
    ends_pool(ends_pool&&) = default;
    ~ends_pool() {
      if (pool == nullptr) return;
      pool.reset();
      arrive(at, 0);
    }
    std::unique_ptr<thread_pool_executor> pool;
    gate_handle at;
  };
  auto owner = std::make_unique<thread_pool_executor>(1);
  thread_pool_executor& pool = *owner;

  pool.post(
      [&begin, last = ends_pool{std::move(owner), gone.handle()}] { pass(begin.handle(), 0); });
  begin.open();

  gone.await_arrivals(1);
}

TEST(thread_pool_fault, a_first_worker_that_can_not_be_started_is_told_to_the_submitter) {
  const ended child = without_threads.run();

  EXPECT_EQ(child.exit_code, 0) << child;
  EXPECT_NE(child.out.find("cannot start a worker thread"), std::string::npos) << child;
}

TEST(thread_pool_fault, a_series_whose_timer_can_not_be_set_is_told_and_leaves_nothing) {
  const ended child = without_timers.run();

  EXPECT_NE(child.out.find("cannot start the thread that waits for timers"), std::string::npos)
      << child;
  EXPECT_NE(child.out.find("nothing is left"), std::string::npos) << child;
}

}  // namespace cadre::test
