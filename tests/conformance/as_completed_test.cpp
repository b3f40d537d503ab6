// SPDX-License-Identifier: MIT
// What as_completed() promises, whichever executor runs the calls. Source: CPython's
// test_as_completed.py.
#include <cadre/wait.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
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
class as_completed : public testing::Test {};
TYPED_TEST_SUITE(as_completed, all_executors, executor_names);

template <typename Traits>
class as_completed_in_pools : public testing::Test {};
TYPED_TEST_SUITE(as_completed_in_pools, pools, executor_names);

/// All that a range yields until it ends or the time is over.
template <typename Range>
futures until_timeout(Range&& range) {
  futures yielded;
  try {
    for (auto& f : range) yielded.push_back(f);
  } catch (const timeout_error&) {
  }
  return yielded;
}

}  // namespace

TYPED_TEST(as_completed, yields_each_future_once_however_it_ended) {
  const example_futures ready;
  const auto executor = TypeParam::make(2);
  const futures all{ready.cancelled, ready.failed, ready.finished,
                    executor->submit(&multiply, 2, 21), executor->submit(&multiply, 7, 6)};

  futures yielded;
  for (auto& f : cadre::as_completed(all)) yielded.push_back(f);

  EXPECT_TRUE(std::ranges::is_permutation(yielded, all));
}

TYPED_TEST(as_completed, yields_a_duplicate_once) {
  const auto executor = TypeParam::make(2);
  const auto f = executor->submit(&multiply, 2, 21);

  futures yielded;
  for (auto& each : cadre::as_completed(futures{f, f, f})) yielded.push_back(each);

  EXPECT_EQ(yielded, futures{f});
}

TYPED_TEST(as_completed_in_pools, a_timeout_of_zero_yields_what_is_done) {
  const example_futures ready;
  const gate here;
  const auto executor = TypeParam::make(2);
  const futures done_already{ready.cancelled, ready.failed, ready.finished};
  futures all = done_already;
  all.push_back(executor->submit(&pass, here.handle(), 0));

  EXPECT_EQ(until_timeout(cadre::as_completed(all, 0s)), done_already);

  here.open();
}

TYPED_TEST(as_completed_in_pools, a_timeout_ends_the_wait_for_the_rest) {
  const example_futures ready;
  const gate here;
  const auto executor = TypeParam::make(2);
  const futures done_already{ready.cancelled, ready.failed, ready.finished};
  futures all = done_already;
  all.push_back(executor->submit(&pass, here.handle(), 0));

  EXPECT_EQ(until_timeout(cadre::as_completed(all, short_time)), done_already);

  here.open();
}

TYPED_TEST(as_completed_in_pools, after_a_timeout_the_rest_can_still_be_asked_for) {
  const gate here;
  const gate told;
  const auto executor = TypeParam::make(2);
  const auto f = executor->submit(&pass, here.handle(), 42);
  auto range = cadre::as_completed(futures{f}, 0s);

  EXPECT_THROW(range.next(), timeout_error);
  // Callbacks come last: after this one the range knows.
  f.add_done_callback([at = told.handle()](const future<int>&) { arrive(at, 0); });
  here.open();
  told.await_arrivals(1);

  EXPECT_EQ(range.next(), f);
}

TYPED_TEST(as_completed_in_pools, yields_in_the_order_of_completion) {
  const gate first;
  const gate second;
  const gate third;
  const auto executor = TypeParam::make(3);
  const auto a = executor->submit(&pass, first.handle(), 1);
  const auto b = executor->submit(&pass, second.handle(), 2);
  const auto c = executor->submit(&pass, third.handle(), 3);
  auto range = cadre::as_completed(futures{a, b, c});

  second.open();
  EXPECT_EQ(range.next(), b);
  third.open();
  EXPECT_EQ(range.next(), c);
  first.open();
  EXPECT_EQ(range.next(), a);

  EXPECT_EQ(range.next(), std::nullopt);
}

TYPED_TEST(as_completed_in_pools, wakes_up_for_a_result) {
  const gate here;
  const auto executor = TypeParam::make(1);
  const auto f = executor->submit(&pass, here.handle(), 42);
  futures yielded;
  other_thread reader{[&] {
    for (auto& each : cadre::as_completed(futures{f})) yielded.push_back(each);
  }};

  reader.await_asleep();
  here.open();
  reader.join();

  EXPECT_EQ(yielded, futures{f});
}

// CPython hangs here, as in wait() (gh-92001).
TYPED_TEST(as_completed_in_pools, wakes_up_for_a_cancellation) {
  const gate here;
  const auto executor = TypeParam::make(1);
  const auto running = executor->submit(&pass, here.handle(), 0);
  const auto queued = executor->submit(&multiply, 2, 21);
  futures yielded;
  other_thread reader{[&] {
    for (auto& each : cadre::as_completed(futures{queued})) yielded.push_back(each);
  }};

  reader.await_asleep();
  queued.cancel();
  reader.join();

  EXPECT_EQ(yielded, futures{queued});
  here.open();
}

TYPED_TEST(as_completed, futures_can_be_added_while_iterating) {
  const auto executor = TypeParam::make(2);
  auto range = cadre::as_completed(futures{executor->submit(&multiply, 1, 1)});

  std::vector<int> values;
  for (auto& f : range) {
    values.push_back(f.get());
    if (values.size() < 5) range.add(executor->submit(&multiply, f.get(), 2));
  }

  EXPECT_EQ(values, (std::vector{1, 2, 4, 8, 16}));
}

TYPED_TEST(as_completed, dropped_half_way_leaves_the_futures_alone) {
  const auto executor = TypeParam::make(2);
  const futures all{executor->submit(&multiply, 1, 2), executor->submit(&multiply, 2, 3)};

  static_cast<void>(cadre::as_completed(all).next());

  EXPECT_EQ(all[0].get() + all[1].get(), 8);
}

TEST(as_completed_range, keeps_no_reference_to_what_it_yielded) {
  std::vector<promise<std::shared_ptr<int>>> writers(8);
  std::vector<future<std::shared_ptr<int>>> all;
  for (const auto& writer : writers) all.push_back(writer.get_future());
  auto range = cadre::as_completed(std::exchange(all, {}));

  for (auto& writer : writers) {
    const auto value = std::make_shared<int>(42);
    const std::weak_ptr<int> watch = value;
    std::exchange(writer, {}).set_value(std::move(value));

    static_cast<void>(range.next());

    EXPECT_EQ(watch.use_count(), 1) << "held by `value` alone";
  }
}

TEST(as_completed_range, says_how_many_of_how_many_are_unfinished) {
  const example_futures f;
  auto range = cadre::as_completed(futures{f.cancelled, f.pending, f.running, f.finished}, 0s);
  std::string message;

  try {
    for (auto& each : range) static_cast<void>(each);
  } catch (const timeout_error& e) {
    message = e.what();
  }

  EXPECT_NE(message.find("2 (of 4) futures unfinished"), std::string::npos) << message;
}

// CPython's clock starts at the first next(): that would sleep here.
TEST(as_completed_range, the_time_runs_from_the_call) {
  const example_futures f;
  promise<int> writer;
  auto range = cadre::as_completed(futures{writer.get_future()}, short_time);
  EXPECT_FALSE(f.running.wait_for(short_time));  // the time passes
  bool timed_out = false;
  other_thread reader{[&] {
    try {
      static_cast<void>(range.next());
    } catch (const timeout_error&) {
      timed_out = true;
    }
  }};

  if (reader.await_asleep()) writer.set_value(42);
  reader.join();

  EXPECT_TRUE(timed_out);
  if (!writer.get_future().done()) writer.set_value(42);
}

TEST(as_completed_range, of_nothing_ends_at_once) {
  EXPECT_EQ(cadre::as_completed(futures{}).next(), std::nullopt);
}

}  // namespace cadre::test
