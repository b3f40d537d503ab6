// SPDX-License-Identifier: MIT
// What bytes may cost whoever decodes them: neither time nor stack out of proportion.
#include <cadre/codec.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "support/codec_samples.hpp"
#include "support/small_stack.hpp"

namespace cadre::test {

/// A sorted sequence, as std::flat_set.
template <typename T>
class flat_set {
 public:
  using key_type = T;
  using value_type = T;
  using iterator = typename std::deque<T>::iterator;

  auto begin() const { return all_.begin(); }
  auto begin() { return all_.begin(); }
  auto end() const { return all_.end(); }
  auto end() { return all_.end(); }
  std::size_t size() const { return all_.size(); }
  auto emplace_hint(iterator, T value) {
    return all_.insert(std::lower_bound(all_.begin(), all_.end(), value), value);
  }
  bool operator==(const flat_set&) const = default;

 private:
  std::deque<T> all_;
};

}  // namespace cadre::test

template <typename T>
struct cadre::codec<cadre::test::flat_set<T>> : cadre::container_codec<cadre::test::flat_set<T>> {};

namespace cadre::test {
namespace {

constexpr std::size_t small_stack = std::size_t{512} << 10;

std::vector<std::byte> joined(const std::vector<std::uint64_t>& words) {
  encoder out;
  for (const std::uint64_t word : words) out.write(word);
  return {out.bytes().begin(), out.bytes().end()};
}

template <typename T>
std::string refusal_of(std::span<const std::byte> frame) {
  try {
    static_cast<void>(decoded<T>(frame));
    return "none";
  } catch (const codec_error& e) {
    return e.what();
  }
}

using numbers = std::unordered_set<std::uint64_t>;

/// Keys that all fall into the first bucket of a table for so many.
std::vector<std::uint64_t> colliding(std::uint64_t count) {
  numbers table;
  table.reserve(count);
  std::vector<std::uint64_t> keys;
  for (std::uint64_t i = 0; i < count; ++i) keys.push_back(i * table.bucket_count());
  return keys;
}

template <typename Table>
std::vector<std::byte> frame_of(std::vector<std::uint64_t> keys) {
  encoder out;
  out.write(std::uint64_t{keys.size()});
  for (const std::uint64_t key : keys) {
    out.write(key);
    if constexpr (detail::map_like<Table>) out.write(std::uint64_t{1});
  }
  return {out.bytes().begin(), out.bytes().end()};
}

template <typename Table>
void expect_refused(const std::vector<std::uint64_t>& keys) {
  const std::string why = refusal_of<Table>(frame_of<Table>(keys));
  EXPECT_NE(why.find("collide"), std::string::npos) << why;
  EXPECT_NE(why.find("std::map"), std::string::npos) << why;
}

struct few_buckets {
  std::size_t operator()(int n) const { return static_cast<std::size_t>(n % 20); }
};

struct large_node {
  std::array<char, 60'000> text;
  std::vector<large_node> below;
};

/// A tree of one node in another, `depth` deep.
std::vector<std::byte> nodes(unsigned depth) {
  const std::vector<std::byte> text(sizeof(large_node::text), std::byte{1});
  encoder out;
  for (unsigned i = 0; i <= depth; ++i) {
    out.write(text.data(), text.size());
    out.write(std::uint64_t{i == depth ? 0U : 1U});
  }
  return {out.bytes().begin(), out.bytes().end()};
}

struct frame {
  std::array<double, 640'000> pixels;
  bool operator==(const frame&) const = default;
};
struct constant {
  const std::array<int, 500'000> values = {};
  bool operator==(const constant&) const = default;
};
struct titled {
  std::string title;
  frame image;
  std::array<std::string, 20'000> words;
  bool operator==(const titled&) const = default;
};
struct archived {
  frame image;
  int number = 0;
  bool operator==(const archived&) const = default;
  template <typename Archive>
  void serialize(Archive& archive) {
    archive(image, number);
  }
};

/// On the heap, as a container of the program's would have it.
template <typename T>
std::unique_ptr<T> in_place(std::span<const std::byte> bytes) {
  decoder in{bytes};
  std::unique_ptr<T> value{new T(decode<T>(in))};
  in.finish();
  return value;
}

/// `bytes` begin at an odd address, as in a stream.
template <typename T>
void expect_to_cross_on_a_small_stack(const T& value) {
  encoder out;
  out.write('x');
  encode(out, value);
  on_stack_of(small_stack, [&] {
    EXPECT_TRUE(*in_place<T>(out.bytes().subspan(1)) == value) << detail::type_name<T>();
  });
}

}  // namespace

TEST(codec_limits, keys_that_collide_are_refused) {
  const auto keys = colliding(20'000);

  expect_refused<numbers>(keys);
  expect_refused<std::unordered_map<std::uint64_t, std::uint64_t>>(keys);
  expect_refused<std::unordered_multiset<std::uint64_t>>(keys);
  expect_refused<std::unordered_multimap<std::uint64_t, std::uint64_t>>(keys);
}

TEST(codec_limits, equal_keys_that_collide_with_others_are_refused) {
  auto keys = colliding(20'000);
  for (std::size_t i = 2; i < keys.size(); ++i) keys[i] = keys[i % 2];

  expect_refused<std::unordered_multiset<std::uint64_t>>(keys);
}

TEST(codec_limits, keys_that_collide_in_one_half_only_are_refused) {
  auto keys = colliding(20'000);
  for (std::size_t i = 0; i < keys.size(); i += 2) keys[i] += i + 1;

  expect_refused<numbers>(keys);
}

TEST(codec_limits, many_small_tables_have_no_more_time_than_a_large_one) {
  std::vector<std::uint64_t> words{200};
  for (int table = 0; table < 200; ++table) {
    const auto keys = colliding(1000);
    words.push_back(keys.size());
    words.insert(words.end(), keys.begin(), keys.end());
  }

  EXPECT_NE(refusal_of<std::vector<numbers>>(joined(words)).find("collide"), std::string::npos);
}

TEST(codec_limits, a_sorted_vector_that_comes_unsorted_is_refused) {
  std::vector<std::uint64_t> words{40'000};
  for (std::uint64_t key = 40'000; key > 0; --key) words.push_back(key);

  EXPECT_NE(refusal_of<flat_set<std::uint64_t>>(joined(words)).find("std::map"), std::string::npos);
  std::reverse(words.begin() + 1, words.end());
  EXPECT_EQ(decoded<flat_set<std::uint64_t>>(joined(words)).size(), 40'000U);
}

TEST(codec_limits, honest_tables_are_decoded) {
  std::unordered_set<int> steps;
  std::unordered_set<std::uint64_t> addresses;
  std::unordered_map<std::string, int> words;
  std::unordered_multiset<int> equal;
  std::unordered_multimap<int, int> few;
  std::unordered_set<double> doubles;
  for (int i = 0; i < 30'000; ++i) {
    steps.insert(i * 4096);
    addresses.insert(0x7f00'0000'0000 + static_cast<std::uint64_t>(i) * 64);
    words.emplace("word " + std::to_string(i), i);
    equal.insert(7);
    few.emplace(i % 10, i);
    doubles.insert(i / 8.0);
  }

  EXPECT_EQ(copied(steps), steps);
  EXPECT_EQ(copied(addresses), addresses);
  EXPECT_EQ(copied(words), words);
  EXPECT_EQ(copied(equal), equal);
  EXPECT_EQ(copied(few).size(), few.size());
  EXPECT_EQ(copied(doubles), doubles);
}

TEST(codec_limits, a_small_table_may_have_a_bad_hash) {
  std::unordered_set<int, few_buckets> table;
  for (int i = 0; i < 3000; ++i) table.insert(i);

  EXPECT_EQ(copied(table), table);
}

TEST(codec_limits, large_nodes_nest_as_deep_as_small_ones) {
  const std::vector<std::byte> bytes = nodes(max_codec_depth - 2);
  std::size_t depth = 0;

  const auto tree = in_place<large_node>(bytes);

  for (const large_node* at = tree.get(); !at->below.empty(); at = &at->below[0]) ++depth;
  EXPECT_EQ(depth, max_codec_depth - 2);
  EXPECT_NE(refusal_of<large_node>(nodes(max_codec_depth)).find("deep"), std::string::npos);
}

TEST(codec_limits, small_stacks_are_not_used_up) {
  encoder out;
  for (unsigned depth = 0; depth < max_codec_depth - 2; ++depth) {
    out.write(int{1});
    out.write(std::uint64_t{1});
  }
  out.write(int{1});
  out.write(std::uint64_t{0});
  for (const std::size_t stack : {std::size_t{64} << 10, std::size_t{128} << 10, small_stack}) {
    on_stack_of(stack, [&] {
      try {
        static_cast<void>(in_place<tree>(out.bytes()));
        static_cast<void>(in_place<large_node>(nodes(max_codec_depth - 2)));
      } catch (const codec_error& e) {
        EXPECT_NE(std::string{e.what()}.find("stack"), std::string::npos) << e.what();
      }
    });
  }
}

TEST(codec_limits, large_values_take_no_stack) {
  const auto image = std::make_unique<frame>();
  for (std::size_t i = 0; i < image->pixels.size(); ++i) image->pixels[i] = static_cast<double>(i);
  const auto with_title = std::make_unique<titled>();
  with_title->title = "title";
  with_title->image = *image;
  with_title->words[19'999] = "last";
  const auto archive = std::make_unique<archived>();
  archive->image = *image;
  archive->number = 3;

  expect_to_cross_on_a_small_stack(*image);
  expect_to_cross_on_a_small_stack(*with_title);
  expect_to_cross_on_a_small_stack(*archive);
  expect_to_cross_on_a_small_stack(*std::unique_ptr<constant>{new constant{}});
}

TEST(codec_limits, large_values_within_others_take_no_stack) {
  const auto image = std::make_unique<frame>();
  image->pixels[639'999] = 1;
  const auto maybe = std::make_unique<std::optional<frame>>(*image);
  const auto either = std::make_unique<std::variant<int, frame>>(*image);
  const auto two = std::make_unique<std::pair<frame, int>>(*image, 2);
  const auto three = std::make_unique<std::tuple<int, frame, std::string>>(1, *image, "three");
  const auto array = std::make_unique<std::array<std::optional<frame>, 2>>();
  (*array)[1] = *image;
  std::vector<frame> several;
  several.push_back(*image);
  std::list<std::pair<frame, std::string>> listed;
  listed.emplace_back(*image, "text");
  std::map<int, frame> mapped;
  mapped.emplace(1, *image);
  std::vector<constant> constants;
  constants.push_back(constant{});

  expect_to_cross_on_a_small_stack(*maybe);
  expect_to_cross_on_a_small_stack(*either);
  expect_to_cross_on_a_small_stack(*two);
  expect_to_cross_on_a_small_stack(*three);
  expect_to_cross_on_a_small_stack(*array);
  expect_to_cross_on_a_small_stack(several);
  expect_to_cross_on_a_small_stack(listed);
  expect_to_cross_on_a_small_stack(mapped);
  expect_to_cross_on_a_small_stack(constants);
}

}  // namespace cadre::test
