// SPDX-License-Identifier: MIT
// Values that are large themselves, rather than own memory: they cross as they do between functions,
// also from and to threads with small stacks.
#include <cadre/bind.hpp>
#include <cadre/process_pool_executor.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "support/small_stack.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

constexpr std::size_t small_stack = std::size_t{512} << 10;

struct image {
  std::array<double, 640'000> pixels;
};
using texts = std::array<std::string, 50'000>;

image make_image(int n) {
  image made;
  made.pixels.fill(n);
  return made;
}
double sum_of_ends(const image& i) { return i.pixels.front() + i.pixels.back(); }
double sum_of_two(const image& a, const image& b) { return sum_of_ends(a) + sum_of_ends(b); }
double sum_unless_stopped(std::stop_token stop, const image& i) {
  return stop.stop_requested() ? -1 : sum_of_ends(i);
}
double add_to_image(const image& i, int n) { return i.pixels.back() + n; }

texts make_texts(int n) {
  texts made;
  made.back() = std::to_string(n);
  return made;
}
std::string last_of(const texts& all) { return all.back(); }
std::optional<image> maybe_image(int n) {
  return n > 0 ? std::optional{make_image(n)} : std::nullopt;
}
std::pair<image, std::string> titled_image(int n) { return {make_image(n), "title"}; }

// NOLINTNEXTLINE(readability-const-return-type): old style guides ask for it
const std::string greet(int n) { return "hello " + std::to_string(n); }

class values_by_value : public testing::Test {
 protected:
  static std::unique_ptr<image> on_heap(int n) {
    std::unique_ptr<image> made{new image};
    made->pixels.fill(n);
    return made;
  }

  process_pool_executor pool_{1};
};

}  // namespace

TEST_F(values_by_value, of_megabytes_are_results) {
  const auto image = pool_.submit(&make_image, 3);
  const auto texts = pool_.submit(&make_texts, 4);
  const auto maybe = pool_.submit(&maybe_image, 5);
  const auto titled = pool_.submit(&titled_image, 6);

  // By reference: copies here are the test's own matter.
  EXPECT_EQ(image.get_for(long_time).pixels[9], 3);
  EXPECT_EQ(texts.get_for(long_time).back(), "4");
  EXPECT_EQ(maybe.get_for(long_time)->pixels[9], 5);
  EXPECT_EQ(titled.get_for(long_time).second, "title");
}

TEST_F(values_by_value, of_megabytes_are_arguments) {
  const auto two = on_heap(2);
  const auto words = std::make_unique<texts>();
  words->back() = "last";

  EXPECT_EQ(pool_.submit(&sum_of_ends, *two).get_for(long_time), 4);
  EXPECT_EQ(pool_.submit(&sum_unless_stopped, *two).get_for(long_time), 4);
  EXPECT_EQ(pool_.submit({.name = "two"}, &sum_of_two, *two, *two).get_for(long_time), 8);
  EXPECT_EQ(pool_.submit(&last_of, *words).get_for(long_time), "last");
  EXPECT_EQ(pool_.submit(bind(&add_to_image, *two), 3).get_for(long_time), 5);
}

TEST_F(values_by_value, of_megabytes_are_mapped) {
  std::vector<image> images(2);
  images[1].pixels.fill(7);
  std::vector<double> sums;
  int made = 0;

  for (const double sum : pool_.map(&sum_of_ends, images)) sums.push_back(sum);
  for (const image& i : pool_.map(&make_image, std::vector{1, 2})) {
    EXPECT_EQ(i.pixels.back(), ++made);
  }

  EXPECT_EQ(sums, (std::vector<double>{0, 14}));
  EXPECT_EQ(made, 2);
}

TEST_F(values_by_value, of_megabytes_take_no_stack_of_who_submits_and_reads) {
  const auto two = on_heap(2);

  on_stack_of(small_stack, [&] {
    const auto argument = pool_.submit(&sum_of_ends, *two);
    const auto result = pool_.submit(&make_image, 3);
    EXPECT_EQ(argument.get_for(long_time), 4);
    EXPECT_EQ(result.get_for(long_time).pixels[9], 3);
  });
}

TEST_F(values_by_value, that_are_const_are_results) {
  EXPECT_EQ(pool_.submit(&greet, 1).get_for(long_time), "hello 1");
  std::vector<std::string> all;
  for (const std::string& s : pool_.map(&greet, std::vector{2, 3})) all.push_back(s);
  executor& any = pool_;
  EXPECT_EQ(any.submit(&greet, 4).get_for(long_time), "hello 4");
  EXPECT_EQ(all, (std::vector<std::string>{"hello 2", "hello 3"}));
}

}  // namespace cadre::test
