// SPDX-License-Identifier: MIT
// submit_options::expires_in: a call that cannot begin in time does not run.
#include <cadre/errors.hpp>
#include <cadre/executor.hpp>
#include <cadre/inline_executor.hpp>
#include <cadre/process_pool_executor.hpp>
#include <cadre/promise.hpp>
#include <cadre/thread_pool_executor.hpp>
#include <cadre/timer.hpp>
#include <cadre/wait.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <latch>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/executors.hpp"
#include "support/gate.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using namespace std::chrono_literals;

template <typename Traits>
class expires_in : public testing::Test {};
TYPED_TEST_SUITE(expires_in, pools, executor_names);

template <typename Traits>
class expires_at_once : public testing::Test {};
TYPED_TEST_SUITE(expires_at_once, all_executors, executor_names);

constexpr std::chrono::nanoseconds moment = 1ms;

int run_until_stopped(std::stop_token stop, gate_handle at) {
  arrive(at, 0);
  while (!stop.stop_requested()) std::this_thread::yield();
  return 42;
}

std::string message_of(const future<int>& f) {
  try {
    static_cast<void>(f.get());
  } catch (const timeout_error& e) {
    return e.what();
  }
  return "no timeout_error";
}

int run_for_ever() {
  for (;;) std::this_thread::yield();
}

}  // namespace

TEST(expires_in_processes, fails_a_call_that_runs_on_with_timeout_error) {
  process_pool_executor pool{1};
  const auto f =
      pool.submit({.name = "eternity", .expires_in = short_time, .grace = 1ms}, &run_for_ever);
  EXPECT_NE(message_of(f).find("eternity"), std::string::npos) << message_of(f);
}

TYPED_TEST(expires_in, keeps_a_call_that_has_not_begun_from_running) {
  gate door, late;
  const auto pool = TypeParam::make(1);
  auto first = pool->submit(&pass, door.handle(), 1);
  door.await_arrivals(1);

  auto f = pool->submit({.name = "answer", .expires_in = moment}, &arrive, late.handle(), 2);

  EXPECT_EQ(message_of(f),
            "executor: the call \"answer\" did not begin within its expires_in, and did not run: "
            "submit it again with more time, or to more workers");
  EXPECT_FALSE(f.cancelled());
  EXPECT_TRUE(f.done());
  door.open();
  EXPECT_EQ(first.get(), 1);
  EXPECT_EQ(pool->submit(&arrive, late.handle(), 3).get(), 3);
  EXPECT_EQ(late.arrivals(), 1U);
  EXPECT_EQ(pool->stats().pending, 0U);
}

TYPED_TEST(expires_in, keeps_many_calls_from_running) {
  gate door, late;
  const auto pool = TypeParam::make(1);
  auto first = pool->submit(&pass, door.handle(), 1);
  door.await_arrivals(1);

  std::vector<future<int>> all;
  for (int i = 0; i < 100; ++i) {
    all.push_back(pool->submit({.expires_in = moment * (i % 10)}, &arrive, late.handle(), i));
  }
  for (auto& f : all) EXPECT_THROW(f.get(), timeout_error);
  door.open();
  pool->shutdown();

  EXPECT_EQ(late.arrivals(), 0U);
}

TYPED_TEST(expires_in, leaves_a_call_that_begins_in_time_alone) {
  const auto pool = TypeParam::make(1);
  gate unused;

  EXPECT_EQ(pool->submit({.expires_in = 1h}, &arrive, unused.handle(), 7).get(), 7);
  EXPECT_EQ(
      pool->submit({.expires_in = std::chrono::nanoseconds::max()}, &arrive, unused.handle(), 8)
          .get(),
      8);
}

TYPED_TEST(expires_in, asks_a_call_that_runs_to_stop) {
  gate begun;
  const auto pool = TypeParam::make(1);
  // A long time for a busy machine to begin it, and soon over all the same.
  auto f = pool->submit({.expires_in = 200ms}, &run_until_stopped, begun.handle());
  try {
    EXPECT_EQ(f.get(), 42);
  } catch (const timeout_error&) {
    EXPECT_EQ(begun.arrivals(), 0U);  // this machine was busier than that
  }
}

TYPED_TEST(expires_in, gives_its_room_in_a_queue_back) {
  gate door, late;
  const auto pool = TypeParam::make(1);
  auto first = pool->submit(&pass, door.handle(), 1);
  door.await_arrivals(1);
  auto f = pool->submit({.expires_in = moment}, &arrive, late.handle(), 2);
  EXPECT_THROW(f.get(), timeout_error);

  EXPECT_FALSE(f.cancel());
  EXPECT_FALSE(f.request_stop());
  door.open();
}

TYPED_TEST(expires_at_once, if_there_is_no_time) {
  gate late;
  const auto executor = TypeParam::make(1);

  EXPECT_THROW(executor->submit({.expires_in = 0ns}, &arrive, late.handle(), 1).get(),
               timeout_error);
  EXPECT_THROW(executor->submit({.expires_in = -1h}, &arrive, late.handle(), 1).get(),
               timeout_error);
  EXPECT_EQ(late.arrivals(), 0U);
  EXPECT_EQ(executor->stats().submitted, 0U);
}

TYPED_TEST(expires_at_once, only_if_it_waits) {
  gate late;
  const auto executor = TypeParam::make(1);

  EXPECT_EQ(executor->submit({.expires_in = 1h}, &arrive, late.handle(), 1).get(), 1);
}

TYPED_TEST(expires_in, is_counted_from_the_time_of_a_timer_on) {
  gate here;
  const auto pool = TypeParam::make(1);

  const auto begin = std::chrono::steady_clock::now();
  // Counted from now on it would be over long before.
  auto f = submit_after(*pool, 50ms, {.expires_in = 40ms}, &arrive, here.handle(), 1);
  try {
    EXPECT_EQ(f.get(), 1);
  } catch (const timeout_error&) {  // this machine needs 40 ms for a call
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 90ms);
  }
}

TYPED_TEST(expires_in, ends_with_its_pool) {
  gate door;
  future<int> f;
  {
    const auto pool = TypeParam::make(1);
    auto first = pool->submit(&pass, door.handle(), 1);
    door.await_arrivals(1);
    f = pool->submit({.expires_in = 1h}, &arrive, door.handle(), 2);
    door.open();
    pool->shutdown({.cancel_pending = true});
  }
  EXPECT_TRUE(f.done());
}

TEST(expires_in_threads, keeps_nothing_of_a_call_that_is_done) {
  const auto held = std::make_shared<int>(1);
  thread_pool_executor pool{1};
  {
    auto f = pool.submit({.expires_in = 1h}, [held] { return held; });
    EXPECT_EQ(*f.get(), 1);
  }
  pool.shutdown();  // the worker has dropped it, too

  EXPECT_EQ(held.use_count(), 1);
}

TEST(expires_in_threads, does_not_keep_a_bounded_pool_full) {
  gate door;
  thread_pool_executor pool{{.max_workers = 1, .max_pending = 1, .when_full = when_full::reject}};
  auto first = pool.submit(&pass, door.handle(), 1);
  door.await_arrivals(1);

  auto f = pool.submit({.expires_in = moment}, &arrive, door.handle(), 2);
  EXPECT_THROW(f.get(), timeout_error);
  auto next = pool.submit(&arrive, door.handle(), 3);
  door.open();

  EXPECT_EQ(next.get(), 3);
}

/// Waits for as long as `expires_in = moment`, from now on, lasts at most.
void pass_a_moment() {
  const auto end = std::chrono::steady_clock::now() + 2 * moment;
  while (std::chrono::steady_clock::now() < end) std::this_thread::yield();
}

TEST(expires_in_threads, holds_while_the_thread_of_timers_is_busy) {
  gate door, late;
  thread_pool_executor pool{1};
  auto first = pool.submit(&pass, door.handle(), 1);
  door.await_arrivals(1);
  // Shared: the thread of timers may look at them a moment longer than this test.
  const auto free = std::make_shared<std::latch>(1);
  const auto is_busy = std::make_shared<std::atomic<bool>>(false);
  while (!*is_busy) {  // a callback of a call that has expired already runs here
    const auto told = std::make_shared<std::latch>(1);
    auto expired = pool.submit({.expires_in = moment}, &arrive, late.handle(), 2);
    expired.add_done_callback(
        [told, free, is_busy, here = std::this_thread::get_id()](const future<int>& done) {
          static_cast<void>(done.exception());
          *is_busy = std::this_thread::get_id() != here;
          told->count_down();
          if (*is_busy) free->wait();
        });
    told->wait();
  }

  auto f = pool.submit({.expires_in = moment}, &arrive, late.handle(), 3);
  pass_a_moment();
  door.open();

  EXPECT_THROW(f.get(), timeout_error);
  EXPECT_EQ(late.arrivals(), 0U);
  free->count_down();
}

TEST(expires_in_threads, asks_a_call_to_stop_that_its_submitter_runs) {
  gate begun, door;
  inline_executor here;
  EXPECT_EQ(here.submit({.expires_in = 1s}, &run_until_stopped, begun.handle()).get(), 42);
  thread_pool_executor full{
      {.max_workers = 1, .max_pending = 1, .when_full = when_full::caller_runs}};
  auto first = full.submit(&pass, door.handle(), 1);
  door.await_arrivals(1);
  auto second = full.submit(&pass, door.handle(), 2);

  EXPECT_EQ(full.submit({.expires_in = 1s}, &run_until_stopped, begun.handle()).get(), 42);
  EXPECT_EQ(begun.arrivals(), 2U);
  door.open();
}

TEST(expires_in_threads, is_never_enough_if_it_is_nothing_after_a_timer) {
  gate late;
  thread_pool_executor pool{1};

  EXPECT_THROW(submit_after(pool, moment, {.expires_in = 0ns}, &arrive, late.handle(), 1).get(),
               timeout_error);
  EXPECT_EQ(late.arrivals(), 0U);
}

/// A call: tells when it began, in nanoseconds of the steady clock, which all processes share.
std::int64_t begin_time() {
  return std::chrono::nanoseconds{std::chrono::steady_clock::now().time_since_epoch()}.count();
}

/// Fills the pool, and submits one more call, which waits for room until its time is over; unless this
/// machine is so busy that the room is there before it comes.
template <typename Pool, typename Options>
void expect_to_expire_while_there_is_no_room(Options options, int fill,
                                             std::chrono::nanoseconds tolerance) {
  constexpr std::chrono::milliseconds until_open{50};
  gate door;
  options.max_workers = 1;
  options.max_pending = 1;
  Pool pool{std::move(options)};
  std::vector<future<int>> before;
  for (int i = 0; i < fill; ++i) {
    before.push_back(pool.submit(&pass, door.handle(), i));
    door.await_arrivals(1);
  }
  std::thread opener{[&, open_at = std::chrono::steady_clock::now() + until_open] {
    while (std::chrono::steady_clock::now() < open_at) std::this_thread::yield();
    door.open();
  }};
  auto f = pool.submit({.expires_in = moment}, &begin_time);
  opener.join();

  const std::chrono::nanoseconds limit{detail::access::state_of(f).limit().time_since_epoch()};
  try {
    EXPECT_LT(f.get(), (limit + tolerance).count());
  } catch (const timeout_error&) {  // as it should be
  }
}

TEST(expires_in_threads, is_counted_while_submit_waits_for_room) {
  expect_to_expire_while_there_is_no_room<thread_pool_executor>(thread_pool_options{}, 2, 0ns);
}

// A worker process has begun the call at most so much later than its pool looked at the time.
TEST(expires_in_processes, is_counted_while_submit_waits_for_room) {
  expect_to_expire_while_there_is_no_room<process_pool_executor>(process_pool_options{}, 1, 40ms);
}

TEST(expires_in_threads, tells_callbacks_and_waiters) {
  gate door;
  thread_pool_executor pool{1};
  auto first = pool.submit(&pass, door.handle(), 1);
  door.await_arrivals(1);
  promise<bool> told;
  auto f = pool.submit({.expires_in = moment}, &arrive, door.handle(), 2);
  f.add_done_callback([&](const future<int>& done) { told.set_value(done.done()); });
  auto after = f.then([](const future<int>& done) { return done.exception() != nullptr; });

  EXPECT_TRUE(told.get_future().get());
  EXPECT_TRUE(after.get());
  EXPECT_EQ(wait(std::vector{f}).done.size(), 1U);
  door.open();
}

TEST(if_possible, lets_one_string_choose_the_executor) {
  const submit_options limits{
      .timeout = 1h, .retries = 2, .max_memory = std::size_t{1} << 30, .if_possible = true};
  for (const char* description : {"threads:1", "processes:1", "inline"}) {
    gate here;
    const auto any = make_executor(description);
    EXPECT_EQ(any->submit(limits, &arrive, here.handle(), 5).get(), 5) << description;
  }
}

}  // namespace cadre::test
