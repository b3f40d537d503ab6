// SPDX-License-Identifier: MIT
// The trace of an exception that leaves a call names the function that threw.
#include "process/throw_trace.hpp"

#include <gtest/gtest.h>

#include <exception>
#include <stdexcept>
#include <string>

namespace cadre::test {

// Not in an unnamed namespace, and called through pointers: they must keep their names and frames.
int throws_when_zero(int n) {
  if (n == 0) throw std::out_of_range{"zero"};
  return n;
}
int (*volatile thrower)(int) = &throws_when_zero;
int calls_what_throws(int n) { return thrower(n) + 1; }
int (*volatile caller)(int) = &calls_what_throws;

namespace {

std::string text_of(const detail::throw_trace& trace) {
  remote_origin origin;
  origin.frames = trace.frames();
  return origin.backtrace();
}

}  // namespace

TEST(throw_trace, begins_with_who_threw) {
  detail::throw_trace trace;
  const auto e = detail::run_traced([] { caller(0); }, trace);
  const std::string text = text_of(trace);

  EXPECT_THROW(std::rethrow_exception(e), std::out_of_range);
  EXPECT_TRUE(text.starts_with("#0 cadre::test::throws_when_zero(int)")) << text;
  EXPECT_NE(text.find("\n#1 cadre::test::calls_what_throws("), std::string::npos) << text;
}

TEST(throw_trace, ends_with_the_call) {
  detail::throw_trace trace;
  detail::run_traced([] { caller(0); }, trace);

  EXPECT_EQ(text_of(trace).find("testing::Test"), std::string::npos) << text_of(trace);
  EXPECT_EQ(text_of(trace).find(" main+"), std::string::npos) << text_of(trace);
}

TEST(throw_trace, is_empty_if_nothing_left_the_call) {
  detail::throw_trace trace;
  const auto e = detail::run_traced(
      [] {
        try {
          caller(0);
        } catch (const std::out_of_range&) {
        }
      },
      trace);

  EXPECT_EQ(e, nullptr);
  EXPECT_TRUE(trace.frames().empty());
}

TEST(throw_trace, is_that_of_the_exception_that_left) {
  detail::throw_trace trace;
  const auto e = detail::run_traced(
      [] {
        detail::throw_trace inner;
        detail::run_traced([] { throw 1; }, inner);
        caller(0);
      },
      trace);

  EXPECT_THROW(std::rethrow_exception(e), std::out_of_range);
  EXPECT_TRUE(text_of(trace).starts_with("#0 cadre::test::throws_when_zero(int)"));
}

TEST(throw_trace, takes_what_is_no_exception_class) {
  detail::throw_trace trace;
  const auto e = detail::run_traced([] { throw 42; }, trace);

  EXPECT_THROW(std::rethrow_exception(e), int);
  EXPECT_FALSE(trace.frames().empty());
}

}  // namespace cadre::test
