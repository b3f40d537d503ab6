// SPDX-License-Identifier: MIT
// What a future promises in each of its states. Source: CPython's test_future.py.
#include <cadre/errors.hpp>
#include <cadre/future.hpp>
#include <cadre/promise.hpp>

#include <gtest/gtest.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "conformance/example_futures.hpp"
#include "support/other_thread.hpp"
#include "support/timeouts.hpp"
#include "support/unhandled_log.hpp"

namespace cadre::test {
namespace {

using std::chrono_literals::operator""s;

std::exception_ptr disk_full_error() { return std::make_exception_ptr(disk_full{}); }

std::string what_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  }
}

}  // namespace

TEST(future, a_done_callback_sees_the_value) {
  promise<int> writer;
  int seen = 0;
  writer.get_future().add_done_callback([&](const future<int>& f) { seen = f.get(); });

  writer.set_value(5);

  EXPECT_EQ(seen, 5);
}

TEST(future, a_done_callback_sees_the_exception) {
  promise<int> writer;
  std::exception_ptr seen;
  writer.get_future().add_done_callback([&](const future<int>& f) { seen = f.exception(); });

  writer.set_exception(disk_full_error());

  ASSERT_NE(seen, nullptr);
  EXPECT_EQ(what_of(seen), "no space left");
}

TEST(future, a_done_callback_sees_the_cancellation) {
  const promise<int> writer;
  bool cancelled = false;
  writer.get_future().add_done_callback([&](const future<int>& f) { cancelled = f.cancelled(); });

  EXPECT_TRUE(writer.get_future().cancel());

  EXPECT_TRUE(cancelled);
}

TEST(future, done_callbacks_run_in_the_order_they_were_added) {
  promise<int> writer;
  std::vector<int> order;
  for (int i = 0; i < 5; ++i) {
    writer.get_future().add_done_callback([&order, i](const future<int>&) { order.push_back(i); });
  }

  writer.set_value(5);

  EXPECT_EQ(order, (std::vector{0, 1, 2, 3, 4}));
}

TEST(future, done_callbacks_run_on_the_thread_that_sets_or_cancels) {
  promise<int> set_there;
  const promise<int> cancelled_there;
  std::vector<std::thread::id> where;
  const auto note = [&](const future<int>&) { where.push_back(std::this_thread::get_id()); };
  set_there.get_future().add_done_callback(note);
  cancelled_there.get_future().add_done_callback(note);
  std::thread::id there;

  std::thread{[&] {
    there = std::this_thread::get_id();
    set_there.set_value(5);
    cancelled_there.get_future().cancel();
  }}.join();

  EXPECT_EQ(where, (std::vector{there, there}));
}

TEST(future, a_done_callback_that_throws_stops_no_other) {
  const unhandled_log log;
  promise<int> writer;
  bool second_ran = false;
  writer.get_future().add_done_callback([](const future<int>&) { throw disk_full{}; });
  writer.get_future().add_done_callback([&](const future<int>&) { second_ran = true; });

  writer.set_value(5);

  EXPECT_TRUE(second_ran);
}

TEST(future, what_a_done_callback_throws_is_reported) {
  const unhandled_log log;
  promise<int> writer;
  writer.get_future().add_done_callback([](const future<int>&) { throw disk_full{}; });

  writer.set_value(5);

  EXPECT_EQ(log.entries(), std::vector<std::string>{"done callback: no space left"});
}

TEST(future, a_done_callback_added_after_success_runs_at_once) {
  int seen = 0;

  finished_with(5).add_done_callback([&](const future<int>& f) { seen = f.get(); });

  EXPECT_EQ(seen, 5);
}

TEST(future, a_done_callback_added_after_failure_runs_at_once) {
  std::exception_ptr seen;

  failed_with(disk_full{}).add_done_callback([&](const future<int>& f) { seen = f.exception(); });

  ASSERT_NE(seen, nullptr);
  EXPECT_EQ(what_of(seen), "no space left");
}

TEST(future, a_done_callback_added_after_cancellation_runs_at_once) {
  bool cancelled = false;

  cancelled_future().add_done_callback([&](const future<int>& f) { cancelled = f.cancelled(); });

  EXPECT_TRUE(cancelled);
}

TEST(future, what_a_late_done_callback_throws_is_reported_not_thrown) {
  const unhandled_log log;

  EXPECT_NO_THROW(
      finished_with(5).add_done_callback([](const future<int>&) { throw disk_full{}; }));

  EXPECT_EQ(log.entries(), std::vector<std::string>{"done callback: no space left"});
}

TEST(future, cancel_succeeds_for_pending_and_cancelled_futures_only) {
  const example_futures f;

  EXPECT_TRUE(f.pending.cancel());
  EXPECT_FALSE(f.running.cancel());
  EXPECT_TRUE(f.cancelled.cancel());
  EXPECT_FALSE(f.failed.cancel());
  EXPECT_FALSE(f.finished.cancel());
}

TEST(future, cancel_changes_pending_futures_only) {
  const example_futures f;

  for (const auto& each : {f.pending, f.running, f.cancelled, f.failed, f.finished}) each.cancel();

  EXPECT_TRUE(f.pending.cancelled());
  EXPECT_TRUE(f.running.running());
  EXPECT_TRUE(f.cancelled.cancelled());
  EXPECT_NE(f.failed.exception(), nullptr);
  EXPECT_EQ(f.finished.get(), 42);
}

TEST(future, cancelled_is_true_for_cancelled_futures_only) {
  const example_futures f;

  EXPECT_FALSE(f.pending.cancelled());
  EXPECT_FALSE(f.running.cancelled());
  EXPECT_TRUE(f.cancelled.cancelled());
  EXPECT_FALSE(f.failed.cancelled());
  EXPECT_FALSE(f.finished.cancelled());
}

TEST(future, done_is_false_for_pending_and_running_futures_only) {
  const example_futures f;

  EXPECT_FALSE(f.pending.done());
  EXPECT_FALSE(f.running.done());
  EXPECT_TRUE(f.cancelled.done());
  EXPECT_TRUE(f.failed.done());
  EXPECT_TRUE(f.finished.done());
}

TEST(future, running_is_true_for_running_futures_only) {
  const example_futures f;

  EXPECT_FALSE(f.pending.running());
  EXPECT_TRUE(f.running.running());
  EXPECT_FALSE(f.cancelled.running());
  EXPECT_FALSE(f.failed.running());
  EXPECT_FALSE(f.finished.running());
}

TEST(future, get_for_gives_up_on_unfinished_futures) {
  const example_futures f;

  EXPECT_THROW(f.pending.get_for(0s), timeout_error);
  EXPECT_THROW(f.running.get_for(0s), timeout_error);
  EXPECT_THROW(f.pending.get_for(-1s), timeout_error);
  EXPECT_THROW(f.running.get_for(short_time), timeout_error);
}

TEST(future, get_for_gives_what_a_done_future_holds) {
  const example_futures f;

  EXPECT_THROW(f.cancelled.get_for(0s), cancelled_error);
  EXPECT_THROW(f.failed.get_for(0s), disk_full);
  EXPECT_EQ(f.finished.get_for(0s), 42);
}

TEST(future, a_timeout_leaves_the_future_as_it_was) {
  promise<int> writer;
  const future<int> f = writer.get_future();

  EXPECT_THROW(f.get_for(0s), timeout_error);
  writer.set_value(42);

  EXPECT_EQ(f.get(), 42);
}

TEST(future, a_blocked_get_for_wakes_up_for_the_value) {
  promise<int> writer;
  std::optional<int> got;
  other_thread reader{[&, f = writer.get_future()] { got = f.get_for(long_time); }};

  reader.await_asleep();
  writer.set_value(42);
  reader.join();

  EXPECT_EQ(got, 42);
}

TEST(future, a_blocked_get_for_wakes_up_for_a_cancellation) {
  const promise<int> writer;
  bool cancelled = false;
  other_thread reader{[&, f = writer.get_future()] {
    try {
      f.get_for(long_time);
    } catch (const cancelled_error&) {
      cancelled = true;
    }
  }};

  reader.await_asleep();
  writer.get_future().cancel();
  reader.join();

  EXPECT_TRUE(cancelled);
}

TEST(future, a_blocked_get_wakes_up_for_a_cancellation) {
  const promise<int> writer;
  bool cancelled = false;
  other_thread reader{[&, f = writer.get_future()] {
    try {
      f.get();
    } catch (const cancelled_error&) {
      cancelled = true;
    }
  }};

  reader.await_asleep();
  writer.get_future().cancel();
  reader.join();

  EXPECT_TRUE(cancelled);
}

TEST(future, exception_for_gives_up_on_unfinished_futures) {
  const example_futures f;

  EXPECT_THROW(f.pending.exception_for(0s), timeout_error);
  EXPECT_THROW(f.running.exception_for(0s), timeout_error);
}

TEST(future, exception_for_tells_how_a_done_future_ended) {
  const example_futures f;

  EXPECT_THROW(f.cancelled.exception_for(0s), cancelled_error);
  EXPECT_EQ(what_of(f.failed.exception_for(0s)), "no space left");
  EXPECT_EQ(f.finished.exception_for(0s), nullptr);
}

TEST(future, a_blocked_exception_for_wakes_up_for_the_exception) {
  promise<int> writer;
  std::exception_ptr got;
  other_thread reader{[&, f = writer.get_future()] { got = f.exception_for(long_time); }};

  reader.await_asleep();
  const std::exception_ptr reason = disk_full_error();
  writer.set_exception(reason);
  reader.join();

  EXPECT_EQ(got, reason);
}

TEST(future, the_exception_is_the_same_object_each_time) {
  const example_futures f;

  EXPECT_EQ(f.failed.exception(), f.failed.exception());
}

TEST(future, a_second_value_is_refused_and_the_first_stays) {
  promise<int> writer;
  writer.set_value(1);

  EXPECT_THROW(writer.set_value(2), invalid_state_error);

  EXPECT_EQ(writer.get_future().get(), 1);
}

TEST(future, a_second_exception_is_refused_and_the_first_stays) {
  promise<int> writer;
  const std::exception_ptr first = disk_full_error();
  writer.set_exception(first);

  EXPECT_THROW(writer.set_exception(std::make_exception_ptr(42)), invalid_state_error);

  EXPECT_EQ(writer.get_future().exception(), first);
}

TEST(future, a_cancelled_future_can_not_be_made_running) {
  promise<int> writer;
  writer.get_future().cancel();

  EXPECT_FALSE(writer.set_running());
}

TEST(future, making_it_running_twice_is_refused) {
  promise<int> writer;
  ASSERT_TRUE(writer.set_running());

  EXPECT_THROW(writer.set_running(), invalid_state_error);

  writer.set_value(0);
}

// Python's repr() tells the states apart; here the questions together do.
TEST(future, no_two_states_answer_alike) {
  const example_futures f;
  const auto answers = [](const future<int>& each) {
    std::string text = std::string{each.done() ? "done " : ""} +
                       (each.running() ? "running " : "") + (each.cancelled() ? "cancelled " : "");
    if (each.done() && !each.cancelled()) {
      text += each.exception() == nullptr ? "returned" : "raised " + what_of(each.exception());
    }
    return text;
  };

  EXPECT_EQ(answers(f.pending), "");
  EXPECT_EQ(answers(f.running), "running ");
  EXPECT_EQ(answers(f.cancelled), "done cancelled ");
  EXPECT_EQ(answers(f.failed), "done raised no space left");
  EXPECT_EQ(answers(f.finished), "done returned");
}

}  // namespace cadre::test
