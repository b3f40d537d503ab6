// SPDX-License-Identifier: MIT
// What C++ adds to Python's Future: values that move, references, handles that share.
#include <cadre/errors.hpp>
#include <cadre/future.hpp>
#include <cadre/promise.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "conformance/example_futures.hpp"
#include "support/unhandled_log.hpp"

namespace cadre::test {

TEST(future_value, get_of_an_lvalue_reads_the_same_object_each_time) {
  const future<std::string> f = finished_with<std::string>("answer");

  EXPECT_EQ(&f.get(), &f.get());
}

TEST(future_value, all_handles_read_one_object) {
  const future<std::string> f = finished_with<std::string>("answer");
  const future<std::string> copy = f;

  EXPECT_EQ(&f.get(), &copy.get());
}

TEST(future_value, get_of_an_rvalue_moves_the_value_out) {
  future<std::unique_ptr<int>> f = finished_with(std::make_unique<int>(42));

  const std::unique_ptr<int> value = std::move(f).get();

  EXPECT_EQ(*value, 42);
}

TEST(future_value, get_of_an_rvalue_empties_the_handle) {
  future<int> f = finished_with(42);

  static_cast<void>(std::move(f).get());

  EXPECT_FALSE(f.valid());
}

TEST(future_value, another_handle_of_a_moved_value_is_refused) {
  future<std::string> f = finished_with<std::string>("answer");
  const future<std::string> copy = f;

  static_cast<void>(std::move(f).get());

  EXPECT_THROW(copy.get(), invalid_state_error);
}

TEST(future_value, a_reference_arrives_as_that_very_object) {
  int object = 42;
  promise<int&> writer;

  writer.set_value(object);

  EXPECT_EQ(&writer.get_future().get(), &object);
}

TEST(future_value, of_void_has_states_and_exceptions_too) {
  promise<void> writer;

  writer.set_exception(std::make_exception_ptr(disk_full{}));

  EXPECT_THROW(writer.get_future().get(), disk_full);
}

TEST(future_value, a_promise_destroyed_unset_breaks_its_future) {
  future<int> f;
  {
    const promise<int> writer;
    f = writer.get_future();
  }

  EXPECT_THROW(f.get(), broken_promise);
}

TEST(future_value, a_value_whose_making_throws_becomes_that_exception) {
  struct unmakable {
    explicit unmakable(int) { throw disk_full{}; }
  };
  promise<unmakable> writer;

  writer.set_value(1);

  EXPECT_THROW(writer.get_future().get(), disk_full);
}

TEST(future_value, an_exception_nobody_asked_for_is_reported) {
  const unhandled_log log;

  {
    promise<int> writer;
    writer.set_exception(std::make_exception_ptr(disk_full{}));
  }

  EXPECT_EQ(log.entries(), std::vector<std::string>{"call: no space left"});
}

TEST(future_value, an_exception_somebody_asked_for_is_not_reported) {
  const unhandled_log log;

  {
    promise<int> writer;
    writer.set_exception(std::make_exception_ptr(disk_full{}));
    EXPECT_THROW(writer.get_future().get(), disk_full);
  }

  EXPECT_TRUE(log.entries().empty());
}

TEST(future_value, is_destroyed_with_its_last_handle) {
  future<std::shared_ptr<int>> f = finished_with(std::make_shared<int>(42));
  const std::weak_ptr<int> watch = f.get();

  f = {};

  EXPECT_TRUE(watch.expired());
}

TEST(future_value, then_gives_the_value_to_who_takes_either_value_or_future) {
  promise<int> writer;
  writer.set_value(41);

  EXPECT_EQ(writer.get_future().then([](auto n) { return n + 1; }).get(), 42);
}

}  // namespace cadre::test
