// SPDX-License-Identifier: MIT
// Portable callables become bytes and callables again.
#include <cadre/detail/portable.hpp>
#include <cadre/executor.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <tuple>

namespace cadre::test {
namespace {

int add(int a, int b) { return a + b; }
int subtract(int a, int b) { return a - b; }

/// Knows the functions of this test only.
struct two_functions {
  static void write(encoder& out, int (*function)(int, int)) { encode(out, function == &add); }
  template <typename Function>
  static Function* read(decoder& in) {
    return decode<bool>(in) ? &add : &subtract;
  }
};

template <typename Function>
Function sent(const Function& function) {
  encoder out;
  detail::callable_codec<Function>::encode(out, function, two_functions{});
  decoder in{out.bytes()};
  Function same = detail::callable_codec<Function>::decode(in, two_functions{});
  in.finish();
  return same;
}

struct scale {
  int factor;
  std::string unit;
  std::string operator()(int n) const { return std::to_string(n * factor) + unit; }
};

struct no_default {
  explicit no_default(int) {}
  int operator()(int n) const { return n + 1; }
};

}  // namespace

TEST(portable, a_function_goes_by_what_knows_the_functions) { EXPECT_EQ(sent(&subtract)(5, 3), 2); }

TEST(portable, a_captureless_lambda_takes_no_bytes) {
  const auto lambda = [](int n) { return n * 2; };
  encoder out;
  detail::callable_codec<std::decay_t<decltype(lambda)>>::encode(out, lambda, two_functions{});

  EXPECT_TRUE(out.bytes().empty());
  EXPECT_EQ(sent(lambda)(21), 42);
}

TEST(portable, a_stateless_functor_needs_no_default_constructor) {
  EXPECT_EQ(sent(no_default{0})(1), 2);
}

TEST(portable, an_aggregate_functor_goes_with_its_members) {
  EXPECT_EQ(sent(scale{2, "px"})(5), "10px");
}

TEST(portable, a_bound_function_goes_with_function_and_values) {
  EXPECT_EQ(sent(cadre::bind(&subtract, 5))(3), 2);
  EXPECT_EQ(sent(cadre::bind(cadre::bind(&subtract, 5), 3))(), 2);
  EXPECT_EQ(sent(cadre::bind(scale{2, "px"}, 5))(), "10px");
}

TEST(portable, what_is_portable) {
  int n = 0;
  const auto by_value = [n](int m) { return n + m; };
  const auto by_reference = [&n](int m) { return n + m; };

  EXPECT_TRUE(detail::is_portable_callable<decltype(&add)>);
  EXPECT_TRUE(detail::is_portable_callable<scale>);
  EXPECT_TRUE(detail::is_portable_callable<decltype(cadre::bind(&add, 1))>);
  EXPECT_FALSE(detail::is_portable_callable<std::decay_t<decltype(by_value)>>);
  EXPECT_FALSE(detail::is_portable_callable<std::decay_t<decltype(by_reference)>>);
  EXPECT_FALSE((detail::is_portable_callable<bound_function<std::decay_t<decltype(by_value)>>>));
}

}  // namespace cadre::test
