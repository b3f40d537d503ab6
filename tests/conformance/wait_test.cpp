// SPDX-License-Identifier: MIT
// What wait() promises, whichever executor runs the calls. Source: CPython's test_wait.py.
#include <cadre/wait.hpp>

#include <gtest/gtest.h>

#include <thread>
#include <utility>
#include <vector>

#include "conformance/example_futures.hpp"
#include "conformance/executors.hpp"
#include "support/gate.hpp"
#include "support/other_thread.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using std::chrono_literals::operator""s;

template <typename Traits>
class wait : public testing::Test {};
TYPED_TEST_SUITE(wait, pools, executor_names);

}  // namespace

TYPED_TEST(wait, duplicates_count_once) {
  const auto executor = TypeParam::make(2);
  const auto f = executor->submit(&multiply, 1, 2);

  const auto [done, not_done] = cadre::wait(futures{f, f});

  EXPECT_EQ(done, futures{f});
  EXPECT_EQ(not_done, futures{});
}

TYPED_TEST(wait, first_completed_returns_at_the_first_result) {
  const gate here;
  const auto executor = TypeParam::make(2);
  const auto quick = executor->submit(&multiply, 21, 2);
  const auto blocked = executor->submit(&pass, here.handle(), 0);

  const auto [done, not_done] =
      cadre::wait(futures{quick, blocked}, {.return_when = return_when::first_completed});

  EXPECT_EQ(done, futures{quick});
  EXPECT_EQ(not_done, futures{blocked});
  here.open();
}

TYPED_TEST(wait, first_completed_returns_at_once_what_is_done) {
  const example_futures ready;
  const gate here;
  const auto executor = TypeParam::make(2);
  const auto blocked = executor->submit(&pass, here.handle(), 0);

  const auto [done, not_done] = cadre::wait(futures{ready.cancelled, ready.finished, blocked},
                                            {.return_when = return_when::first_completed});

  EXPECT_EQ(done, (futures{ready.cancelled, ready.finished}));
  EXPECT_EQ(not_done, futures{blocked});
  here.open();
}

TYPED_TEST(wait, first_exception_passes_over_values) {
  const gate first;
  const gate second;
  const auto executor = TypeParam::make(3);
  const auto good = executor->submit(&multiply, 2, 21);
  const auto bad = executor->submit(&pass_and_throw, first.handle());
  const auto blocked = executor->submit(&pass, second.handle(), 0);
  std::jthread lets_it_throw{[&] {
    good.wait();
    first.open();
  }};

  const auto [done, not_done] =
      cadre::wait(futures{good, bad, blocked}, {.return_when = return_when::first_exception});

  EXPECT_EQ(done, (futures{good, bad}));
  EXPECT_EQ(not_done, futures{blocked});
  EXPECT_NE(bad.exception(), nullptr);
  second.open();
}

TYPED_TEST(wait, first_exception_passes_over_cancellations) {
  const example_futures ready;
  const gate here;
  const auto executor = TypeParam::make(2);
  const auto bad = executor->submit(&divide, 21, 0);
  const auto blocked = executor->submit(&pass, here.handle(), 0);

  const auto [done, not_done] = cadre::wait(futures{ready.finished, ready.cancelled, bad, blocked},
                                            {.return_when = return_when::first_exception});

  EXPECT_EQ(done, (futures{ready.finished, ready.cancelled, bad}));
  EXPECT_EQ(not_done, futures{blocked});
  EXPECT_NE(bad.exception(), nullptr);
  here.open();
}

TYPED_TEST(wait, first_exception_returns_at_once_if_one_failed_already) {
  const example_futures ready;
  const gate here;
  const auto executor = TypeParam::make(2);
  const auto blocked = executor->submit(&pass, here.handle(), 0);

  const auto [done, not_done] =
      cadre::wait(futures{ready.failed, blocked}, {.return_when = return_when::first_exception});

  EXPECT_EQ(done, futures{ready.failed});
  EXPECT_EQ(not_done, futures{blocked});
  here.open();
}

TYPED_TEST(wait, first_exception_without_one_waits_for_all) {
  const gate here;
  const auto executor = TypeParam::make(2);
  const futures all{executor->submit(&multiply, 2, 21), executor->submit(&pass, here.handle(), 0)};
  futures done;
  other_thread waiter{
      [&] { done = cadre::wait(all, {.return_when = return_when::first_exception}).done; }};

  waiter.await_asleep();
  here.open();
  waiter.join();

  EXPECT_EQ(done, all);
}

TYPED_TEST(wait, all_completed_returns_all_however_they_ended) {
  const example_futures ready;
  const auto executor = TypeParam::make(2);
  const futures all{ready.finished, ready.cancelled, ready.failed, executor->submit(&divide, 2, 0),
                    executor->submit(&multiply, 2, 21)};

  const auto [done, not_done] = cadre::wait(all);

  EXPECT_EQ(done, all);
  EXPECT_EQ(not_done, futures{});
  EXPECT_NE(all[3].exception(), nullptr);
}

TYPED_TEST(wait, a_timeout_returns_how_the_futures_stand) {
  const example_futures ready;
  const gate here;
  const auto executor = TypeParam::make(2);
  const auto blocked = executor->submit(&pass, here.handle(), 0);

  const auto [done, not_done] = cadre::wait(
      futures{ready.cancelled, ready.failed, ready.finished, blocked}, {.timeout = short_time});

  EXPECT_EQ(done, (futures{ready.cancelled, ready.failed, ready.finished}));
  EXPECT_EQ(not_done, futures{blocked});
  here.open();
}

TYPED_TEST(wait, a_timeout_of_zero_only_looks) {
  const gate here;
  const auto executor = TypeParam::make(2);
  const auto blocked = executor->submit(&pass, here.handle(), 0);

  const auto [done, not_done] = cadre::wait(futures{blocked}, {.timeout = 0s});

  EXPECT_EQ(not_done, futures{blocked});
  here.open();
}

TYPED_TEST(wait, many_futures_may_complete_while_it_begins) {
  const gate here;
  const auto executor = TypeParam::make(5);
  futures all;
  for (int i = 0; i < 100; ++i) all.push_back(executor->submit(&pass, here.handle(), i));
  here.open();

  const auto [done, not_done] = cadre::wait(all);

  EXPECT_EQ(done, all);
}

// CPython counts a cancelled future as not done until a worker has met it, and hangs when none
// does (gh-92001, gh-87893, gh-109934).
TYPED_TEST(wait, a_cancellation_wakes_it) {
  const gate here;
  const auto executor = TypeParam::make(1);
  const auto running = executor->submit(&pass, here.handle(), 0);
  const auto queued = executor->submit(&multiply, 2, 21);
  futures done;
  other_thread waiter{[&] { done = cadre::wait(futures{queued}).done; }};

  waiter.await_asleep();
  queued.cancel();
  waiter.join();

  EXPECT_EQ(done, futures{queued});
  EXPECT_FALSE(running.done());
  here.open();
}

TYPED_TEST(wait, futures_may_come_from_several_executors) {
  const auto one = TypeParam::make(1);
  const auto other = TypeParam::make(1);
  const futures all{one->submit(&multiply, 2, 21), other->submit(&multiply, 6, 7)};

  EXPECT_EQ(cadre::wait(all).done, all);
}

TEST(wait_range, of_nothing_returns_at_once) {
  const auto [done, not_done] = cadre::wait(futures{});

  EXPECT_TRUE(done.empty() && not_done.empty());
}

TEST(wait_range, an_empty_future_is_refused) {
  EXPECT_THROW(cadre::wait(futures{future<int>{}}), invalid_state_error);
}

}  // namespace cadre::test
