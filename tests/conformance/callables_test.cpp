// SPDX-License-Identifier: MIT
// Callables beside functions and functors: members of objects. Results that are const.
#include <cadre/bind.hpp>
#include <cadre/executor.hpp>

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "conformance/executors.hpp"
#include "support/sanitizers.hpp"

namespace cadre::test {
namespace {

template <typename Traits>
class callables : public testing::Test {};
TYPED_TEST_SUITE(callables, all_executors, executor_names);

struct named {
  std::string name = "n";
  std::string greet(const std::string& whom) const { return name + " greets " + whom; }
  std::size_t grow() { return name.append(3, '!').size(); }
};

/// Two bases, virtual functions: pointers to members that are more than an address.
class counted {
 public:
  virtual ~counted() = default;
  virtual int count() const { return 1; }
  int twice() const { return 2 * count(); }
};
class labelled {
 public:
  virtual ~labelled() = default;
  virtual int label() const { return 10; }
  int label_twice() const { return 2 * label(); }
};
class both final : public counted, public labelled {
 public:
  int count() const override { return number_; }
  int label() const override { return number_ + 10; }

  template <typename Archive>
  void serialize(Archive& archive) {
    archive(number_);
  }

 private:
  int number_ = 7;
};

struct constant_text {
  const std::string operator()() const { return "const"; }  // NOLINT: that is the point
};

}  // namespace

TYPED_TEST(callables, may_be_members_of_objects) {
  const auto executor = TypeParam::make(2);

  EXPECT_EQ(executor->submit(&named::greet, named{"a"}, "b").get(), "a greets b");
  EXPECT_EQ(executor->submit(&named::grow, named{}).get(), 4U);
  EXPECT_EQ(executor->submit(&named::name, named{"a"}).get(), "a");
  EXPECT_EQ(executor->submit(cadre::bind(&named::greet, named{"a"}), "b").get(), "a greets b");
}

TYPED_TEST(callables, may_be_virtual_members_and_those_of_any_base) {
  const auto executor = TypeParam::make(2);

  EXPECT_EQ(executor->submit(&counted::count, both{}).get(), 7);
  EXPECT_EQ(executor->submit(&counted::twice, both{}).get(), 14);
  EXPECT_EQ(executor->submit(&labelled::label, both{}).get(), 17);
  EXPECT_EQ(executor->submit(&labelled::label_twice, both{}).get(), 34);
  // g++'s sanitizer looks for a `both` where the pointer has adjusted the address to its second base.
  if (under_asan) return;
  EXPECT_EQ(executor->submit(static_cast<int (both::*)() const>(&labelled::label), both{}).get(),
            17);
}

TYPED_TEST(callables, may_be_members_that_are_mapped) {
  const auto executor = TypeParam::make(2);
  const std::vector<named> all{{"a"}, {"b"}};

  std::vector<std::string> names;
  for (std::string& name : executor->map(&named::name, all)) names.push_back(std::move(name));

  EXPECT_EQ(names, (std::vector<std::string>{"a", "b"}));
}

TYPED_TEST(callables, may_return_what_is_const) {
  const auto executor = TypeParam::make(2);

  EXPECT_EQ(executor->submit(constant_text{}).get(), "const");
}

}  // namespace cadre::test
