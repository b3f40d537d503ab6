// SPDX-License-Identifier: MIT
// Arguments and results of many bytes: they come as they were sent, whatever way they took.
#include <cadre/codec.hpp>
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "conformance/process_pools.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using bytes = std::vector<std::uint8_t>;

template <typename T>
T echo(T value) {
  return value;
}

template <typename T>
std::vector<T> counting(std::size_t count) {
  std::vector<T> made(count);
  std::iota(made.begin(), made.end(), T{});
  return made;
}

struct sample {
  double x;
  std::int64_t y;
  bool operator==(const sample&) const = default;
};

struct record {
  std::string name;
  std::vector<std::vector<double>> rows;
  std::unique_ptr<bytes> blob;
  int end = 0;
};
record make_record(int scale) {
  const auto n = static_cast<std::size_t>(scale);
  return {std::string(n * 3, 'x'),
          {counting<double>(n), {}, counting<double>(n + 1)},
          std::make_unique<bytes>(counting<std::uint8_t>(n * 7)),
          42};
}

/// Its codec encodes what is gone when it returns.
struct transient {
  int count = 0;
};

}  // namespace
}  // namespace cadre::test

template <>
struct cadre::codec<cadre::test::transient> {
  static void encode(encoder& out, const test::transient& value) {
    std::vector<int> made(static_cast<std::size_t>(value.count), value.count);
    ::cadre::encode(out, made);
    for (volatile int& n : made) n = -1;
  }
  static test::transient decode(decoder& in) {
    const auto made = ::cadre::decode<std::vector<int>>(in);
    for (const int n : made) {
      if (n != static_cast<int>(made.size())) in.fail("it is not what was encoded");
    }
    return {static_cast<int>(made.size())};
  }
};

namespace cadre::test {
namespace {

std::size_t capacity_of(const bytes& value) { return value.capacity(); }

bytes then_throws(const bytes&) { throw std::domain_error{"after it had come"}; }

class large_values : public testing::Test {
 protected:
  process_pool_executor pool_{1};
};

}  // namespace

TEST_F(large_values, of_any_size_come_back) {
  for (const std::size_t size : {65'535U, 65'536U, 65'537U, 262'144U, 1'000'003U, 9'000'001U}) {
    const auto value = counting<std::uint8_t>(size);
    EXPECT_EQ(pool_.submit(&echo<bytes>, value).get_for(long_time), value) << size;
  }
}

TEST_F(large_values, of_any_plain_element_come_back) {
  const auto doubles = counting<double>(100'001);
  std::vector<sample> samples(20'001);
  for (std::size_t i = 0; i < samples.size(); ++i) samples[i] = {0.5, static_cast<int>(i)};
  const std::u16string text(70'001, u'x');

  EXPECT_EQ(pool_.submit(&echo<std::vector<double>>, doubles).get_for(long_time), doubles);
  EXPECT_EQ(pool_.submit(&echo<std::vector<sample>>, samples).get_for(long_time), samples);
  EXPECT_EQ(pool_.submit(&echo<std::u16string>, text).get_for(long_time), text);
}

TEST_F(large_values, come_back_within_others) {
  for (const int scale : {10, 9'000, 40'000, 200'000}) {
    const record back = pool_.submit(&echo<record>, make_record(scale)).get_for(long_time);
    const record expected = make_record(scale);

    EXPECT_EQ(back.name, expected.name);
    EXPECT_EQ(back.rows, expected.rows);
    EXPECT_EQ(*back.blob, *expected.blob);
    EXPECT_EQ(back.end, 42);
  }
}

TEST_F(large_values, may_be_encoded_from_what_goes_at_once) {
  const transient back = pool_.submit(&echo<transient>, transient{100'000}).get_for(long_time);

  EXPECT_EQ(back.count, 100'000);
}

TEST_F(large_values, of_a_call_that_throws_do_not_disturb_the_next) {
  const bytes value(3'000'000, 7);

  const auto bad = pool_.submit(&then_throws, value);
  const auto good = pool_.submit(&echo<bytes>, value);

  EXPECT_EQ(message_of(bad), "after it had come");
  EXPECT_EQ(good.get_for(long_time), value);
}

TEST_F(large_values, find_the_memory_of_arguments_and_results_before_them) {
  const auto capacity_for = [&](std::size_t size) {
    return pool_.submit(&capacity_of, bytes(size)).get_for(long_time);
  };
  EXPECT_EQ(capacity_for(1'000'000), 1'000'000U);
  EXPECT_EQ(capacity_for(600'000), 1'000'000U);
  EXPECT_EQ(capacity_for(100'000), 100'000U) << "memory for ten such";

  EXPECT_EQ(pool_.submit(&echo<bytes>, bytes(500'000, 7)).get_for(long_time), bytes(500'000, 7));
  EXPECT_EQ(capacity_for(400'000), 500'000U);

  const std::size_t most = std::size_t{64} << 20;
  EXPECT_EQ(capacity_for(most + 1), most + 1);
  EXPECT_EQ(capacity_for(most), most) << "more was kept";
  EXPECT_EQ(capacity_for(most - 1), most);
}

TEST_F(large_values, stay_the_callers_if_they_are_lent) {
  std::string kept(100'000, 'x');
  std::string given(100'000, 'y');

  const auto first = pool_.submit(&echo<std::string>, kept);
  const auto second = pool_.submit(&echo<std::string>, std::move(given));
  kept.assign(100'000, 'z');  // too late for the call

  EXPECT_EQ(first.get_for(long_time), std::string(100'000, 'x'));
  EXPECT_EQ(second.get_for(long_time), std::string(100'000, 'y'));
  EXPECT_TRUE(given.empty());  // NOLINT(bugprone-use-after-move): that is the question
}

TEST_F(large_values, count_against_max_message) {
  process_pool_executor small{{.max_workers = 1, .max_message = 200'000}};
  const auto make = [](int n) { return bytes(static_cast<std::size_t>(n)); };

  EXPECT_NE(message_of(small.submit(&echo<bytes>, bytes(250'000))).find("max_message"),
            std::string::npos);
  EXPECT_NE(message_of(small.submit(make, 250'000)).find("max_message"), std::string::npos);
  EXPECT_EQ(small.submit(make, 150'000).get_for(medium_time).size(), 150'000U);
}

}  // namespace cadre::test
