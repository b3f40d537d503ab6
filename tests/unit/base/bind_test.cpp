// SPDX-License-Identifier: MIT
#include <cadre/bind.hpp>
#include <cadre/codec.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>

namespace cadre::test {
namespace {

std::string join(const std::string& a, const std::string& b, int n) {
  return a + b + std::to_string(n);
}
int own(std::unique_ptr<int> number) { return *number; }
bool stoppable(std::stop_token token, int a, int b) { return token.stop_possible() && a < b; }

}  // namespace

TEST(bind, puts_the_bound_arguments_first) {
  const auto bound = cadre::bind(&join, "a", std::string{"b"});

  EXPECT_EQ(bound(7), "ab7");
  EXPECT_EQ(bound(8), "ab8");
}

TEST(bind, keeps_values_not_references) {
  std::string text = "before";
  const auto bound = cadre::bind(&join, text, text, 1);

  text = "after";

  EXPECT_EQ(bound(), "beforebefore1");
}

TEST(bind, moves_its_arguments_when_called_as_an_rvalue) {
  auto bound = cadre::bind(&own, std::make_unique<int>(42));

  EXPECT_EQ(std::move(bound)(), 42);
  EXPECT_FALSE(std::is_invocable_v<decltype(bound)&>);
}

TEST(bind, gives_a_stop_token_to_who_takes_one_first) {
  const auto source = std::make_unique<std::stop_source>();

  EXPECT_TRUE(cadre::bind(&stoppable, 1)(source->get_token(), 2));
}

TEST(bind, takes_members_as_functions) {
  struct account {
    int balance = 0;
    int add(int n) const { return balance + n; }
  };

  EXPECT_EQ(cadre::bind(&account::add, account{40})(2), 42);
}

TEST(bind, is_an_aggregate_of_its_values) {
  const auto bound = cadre::bind(&join, std::string{"a"}, 5);

  EXPECT_TRUE(std::is_aggregate_v<decltype(bound)>);
  EXPECT_EQ(std::get<1>(bound.args), 5);
}

}  // namespace cadre::test
