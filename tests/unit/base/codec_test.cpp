// SPDX-License-Identifier: MIT
// What crosses comes out as it went in, takes no more bytes than it should, and has limits.
#include <cadre/codec.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <any>
#include <cstring>
#include <functional>
#include <iterator>
#include <span>
#include <string_view>

#include "support/codec_samples.hpp"
#include "support/says.hpp"

namespace cadre::test {
namespace {

chain chain_of(unsigned length) {
  chain first;
  for (unsigned i = 1; i < length; ++i) {
    first = chain{static_cast<int>(i), std::make_unique<chain>(std::move(first))};
  }
  return first;
}

}  // namespace

// --- round trips ---

TEST(codec, gives_every_kind_of_value_back) {
  std::size_t count = 0;
  const auto check = [&](const auto& value) {
    EXPECT_TRUE(copied(value) == value) << detail::type_name<decltype(value)>();
    ++count;
  };
  visit_numbers(check);
  visit_groups(check);
  visit_structs(check);
  visit_dates(check);

  EXPECT_GT(count, 80U);
}

// Owners are equal if what they own is: byte by byte.
TEST(codec, gives_what_is_owned_back) {
  visit_owners([](const auto& value) {
    EXPECT_EQ(encoded(copied(value)), encoded(value)) << detail::type_name<decltype(value)>();
  });
}

TEST(codec, gives_rare_values_back) {
  visit_rare([](const auto& value) {
    EXPECT_EQ(encoded(copied(value)), encoded(value)) << detail::type_name<decltype(value)>();
  });

  EXPECT_EQ(copied(std::forward_list<int>{1, 2, 3}), (std::forward_list<int>{1, 2, 3}));
  EXPECT_EQ(copied(std::stack<int>{{1, 2}}).top(), 2);
  auto least = copied(std::priority_queue<int, std::vector<int>, std::greater<>>{{}, {3, 1, 2}});
  EXPECT_EQ(least.top(), 1);
  const auto halves = copied(std::valarray<double>{0.5, 1.5});
  EXPECT_EQ(halves.sum(), 2);
}

namespace {

class category : public std::error_category {
 public:
  explicit category(const char* name) : name_{name} {}
  const char* name() const noexcept override { return name_; }
  std::string message(int code) const override { return "code " + std::to_string(code); }

 private:
  const char* name_;
};

const category known_category{"known"};
const category unknown_category{"unknown"};
[[maybe_unused]] const bool registered_category = register_error_category(known_category);

}  // namespace

TEST(codec, gives_codes_of_registered_categories_back) {
  const std::error_code code{7, known_category};

  EXPECT_EQ(copied(code), code);
  EXPECT_EQ(copied(code).message(), "code 7");
}

TEST(codec, says_that_a_category_is_not_registered) {
  const std::error_code code{7, unknown_category};
  const category same_name{"known"};

  EXPECT_EQ(
      message_of<codec_error>([&] { encoded(code); }),
      "cadre: cannot encode std::error_code: the error category \"unknown\" is not registered; "
      "call cadre::register_error_category() with it, at namespace scope");
  EXPECT_THROW(encoded(std::error_code{7, same_name}), codec_error);
}

TEST(codec, takes_no_code_of_a_category_that_is_not_registered_here) {
  auto bytes = encoded(std::error_code{7, known_category});
  bytes.back() = std::byte{'x'};

  EXPECT_THROW(decoded<std::error_code>(bytes), codec_error);
  bytes[sizeof(int)] = std::byte{200};
  EXPECT_THROW(decoded<std::error_code>(bytes), codec_error);
}

TEST(codec, keeps_the_order_of_equal_keys) {
  const std::multimap<int, std::string> map{{1, "first"}, {1, "second"}, {1, "third"}};

  EXPECT_EQ(copied(map), map);
}

TEST(codec, gives_move_only_values_back) {
  std::vector<std::unique_ptr<chain>> values;
  values.push_back(std::make_unique<chain>(chain_of(3)));
  values.push_back(nullptr);

  const auto same = copied(values);

  ASSERT_EQ(same.size(), 2U);
  EXPECT_EQ(*same[0], *values[0]);
  EXPECT_EQ(same[1], nullptr);
}

TEST(codec, reads_several_values_in_a_row) {
  encoder out;
  encode(out, std::string{"a"});
  encode(out, 7);
  encode(out, std::vector<double>{1.5});
  decoder in{out.bytes()};

  EXPECT_EQ(decode<std::string>(in), "a");
  EXPECT_EQ(decode<int>(in), 7);
  EXPECT_EQ(decode<std::vector<double>>(in), std::vector<double>{1.5});
  EXPECT_NO_THROW(in.finish());
}

TEST(codec, reads_numbers_that_are_not_aligned) {
  const std::vector<double> numbers{1, 2, 3};
  encoder out;
  encode(out, 'x');
  encode(out, numbers);
  encode(out, std::u16string{u"wide"});
  decoder in{out.bytes()};

  EXPECT_EQ(decode<char>(in), 'x');
  EXPECT_EQ(decode<std::vector<double>>(in), numbers);
  EXPECT_EQ(decode<std::u16string>(in), u"wide");
}

template <typename T>
class pool_of {
 public:
  using value_type = T;
  auto begin() const { return held_.begin(); }
  auto end() const { return held_.end(); }
  std::size_t size() const { return held_.size(); }
  void push_back(T value) { held_.push_back(std::move(value)); }

 private:
  std::vector<T> held_;
};

}  // namespace cadre::test

template <typename T>
struct cadre::codec<cadre::test::pool_of<T>> : cadre::container_codec<cadre::test::pool_of<T>> {};

namespace cadre::test {

TEST(codec, takes_other_containers_by_container_codec) {
  pool_of<std::string> pool;
  pool.push_back("a");

  EXPECT_EQ(*copied(pool).begin(), "a");
  EXPECT_FALSE(encodable<pool_of<int*>>);
}

// --- what is encodable ---

struct derived_container : std::vector<int> {
  explicit derived_container(int t) : tag{t} {}
  derived_container() = default;
  int tag = 0;
};
struct polymorphic {
  virtual ~polymorphic() = default;
  template <typename Archive>
  void serialize(Archive&) {}
};
struct last final : polymorphic {};
union number_or_text {
  int number;
  char text;
};
struct by_function {
  bool operator()(int a, int b) const { return order(a, b); }
  bool (*order)(int, int) = nullptr;
};
struct holds_a_holder {
  std::vector<std::optional<std::any>> things;
};

TEST(codec, does_not_take_what_would_lose_or_mean_nothing) {
  EXPECT_FALSE(encodable<int*>);
  EXPECT_FALSE(encodable<int&>);
  EXPECT_FALSE(encodable<std::nullptr_t>);
  EXPECT_FALSE(encodable<int (*)()>);
  EXPECT_FALSE(encodable<int point::*>);
  EXPECT_FALSE(encodable<std::string_view>);
  EXPECT_FALSE(encodable<std::span<int>>);
  EXPECT_FALSE(encodable<std::initializer_list<int>>);
  EXPECT_FALSE(encodable<std::reference_wrapper<int>>);
  EXPECT_FALSE(encodable<std::vector<const char*>>);
  EXPECT_FALSE((encodable<std::map<int, std::string_view>>));
  EXPECT_FALSE((encodable<std::variant<int, int*>>));
  EXPECT_FALSE((encodable<std::tuple<int&>>));
  EXPECT_FALSE(encodable<std::any>);
  EXPECT_FALSE(encodable<std::function<void()>>);
  EXPECT_FALSE(encodable<std::shared_ptr<int>>);
  EXPECT_FALSE(encodable<std::unique_ptr<int[]>>);
  EXPECT_FALSE(encodable<std::unique_ptr<polymorphic>>);
  EXPECT_TRUE(encodable<std::unique_ptr<last>>);
  EXPECT_FALSE(encodable<derived_container>);
  EXPECT_FALSE(encodable<number_or_text>);
  EXPECT_FALSE((encodable<std::set<int, by_function>>));
  EXPECT_FALSE(encodable<holds_a_holder>);
  EXPECT_FALSE(encodable<std::queue<int*>>);
  EXPECT_FALSE((encodable<std::priority_queue<int, std::vector<int>, by_function>>));
  EXPECT_FALSE(encodable<std::valarray<const char*>>);
  EXPECT_TRUE(encodable<tree>);
  EXPECT_TRUE(encodable<std::less<>>);
}

// --- size ---

TEST(codec, sends_numbers_as_they_lie_in_memory) {
  const std::vector<point> points{{1, 2, 3}, {4, 5, 6}};

  const auto bytes = encoded(points);

  ASSERT_EQ(bytes.size(), 8 + sizeof(point) * 2);
  EXPECT_EQ(std::memcmp(bytes.data() + 8, points.data(), sizeof(point) * 2), 0);
}

TEST(codec, sends_no_padding) {
  EXPECT_EQ(encoded(padded{'a', 1}).size(), 9U);
  EXPECT_EQ(encoded(std::vector<padded>(3)).size(), 8U + 3 * 9);
  EXPECT_EQ(encoded(1.5L).size(), 10U);
}

TEST(codec, sends_nothing_for_a_type_without_state) {
  EXPECT_TRUE(encoded(nothing{}).empty());
  EXPECT_TRUE(encoded([] {}).empty());
}

// --- limits ---

TEST(codec, takes_a_value_of_exactly_the_limit) {
  encoder out{8 + 100};

  EXPECT_NO_THROW(encode(out, std::string(100, 'x')));
}

TEST(codec, names_type_and_limit_of_what_is_too_large) {
  encoder out{100};

  const auto message = message_of<codec_error>([&] { encode(out, std::vector<int>(1000)); });

  EXPECT_NE(message.find("std::vector<int"), std::string::npos) << message;
  EXPECT_NE(message.find("limit of 100 bytes"), std::string::npos) << message;
}

TEST(codec, can_encode_again_after_an_error) {
  encoder out{100};
  EXPECT_THROW(encode(out, std::vector<std::vector<int>>(1000)), codec_error);

  out.clear();
  encode(out, 7);

  EXPECT_EQ(decoded<int>(out.bytes()), 7);
}

TEST(codec, nests_as_deep_as_it_says) {
  const auto deep = chain_of(max_codec_depth - 1);

  EXPECT_EQ(copied(deep), deep);
}

TEST(codec, refuses_deeper_values_on_the_way_out) {
  encoder out;

  const auto message = message_of<codec_error>([&] { encode(out, chain_of(max_codec_depth + 1)); });

  EXPECT_NE(message.find("cannot encode cadre::test::chain"), std::string::npos) << message;
}

TEST(codec, refuses_deeper_values_on_the_way_in) {
  // A chain: number, "there is one more", and so on.
  std::vector<std::byte> bytes(5 * 100'000);
  for (std::size_t i = 4; i < bytes.size(); i += 5) bytes[i] = std::byte{1};

  EXPECT_THROW(decoded<chain>(bytes), codec_error);
}

struct throws_on_copy {
  throws_on_copy() = default;
  throws_on_copy(const throws_on_copy&) { throw 1; }
  throws_on_copy& operator=(const throws_on_copy&) { throw 1; }
  template <typename Archive>
  void serialize(Archive&) {}
};

TEST(codec, does_not_send_a_variant_without_a_value) {
  std::variant<int, throws_on_copy> value;
  EXPECT_THROW(value.emplace<1>(throws_on_copy{}), int);

  const auto message = message_of<codec_error>([&] { encoded(value); });

  EXPECT_NE(message.find("a variant lost its value"), std::string::npos) << message;
}

// --- encoder ---

TEST(encoder, keeps_its_bytes_when_it_grows) {
  encoder out;
  std::vector<std::byte> expected;
  for (int i = 0; i < 10'000; ++i) {
    out.write(static_cast<unsigned char>(i));
    expected.push_back(static_cast<std::byte>(i));
  }

  EXPECT_TRUE(std::ranges::equal(out.bytes(), expected));
}

TEST(encoder, forgets_what_is_truncated) {
  encoder out;
  encode(out, 1);
  const std::size_t mark = out.size();
  encode(out, std::string{"not to be sent"});

  out.truncate(mark);

  EXPECT_EQ(decoded<int>(out.bytes()), 1);
}

TEST(encoder, moves_with_its_bytes) {
  encoder out{50};
  encode(out, 5);

  encoder other{std::move(out)};

  EXPECT_EQ(decoded<int>(other.bytes()), 5);
  EXPECT_THROW(encode(other, std::string(50, 'x')), codec_error);
}

}  // namespace cadre::test
