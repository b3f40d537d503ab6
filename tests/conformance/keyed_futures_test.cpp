// SPDX-License-Identifier: MIT
// Futures as keys, and futures with keys: Python's {future: url}.
#include <cadre/promise.hpp>
#include <cadre/wait.hpp>

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "conformance/example_futures.hpp"
#include "conformance/executors.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using calls = std::vector<std::pair<std::string, future<int>>>;

template <typename Traits>
class keyed_futures : public testing::Test {};
TYPED_TEST_SUITE(keyed_futures, all_executors, executor_names);

}  // namespace

TYPED_TEST(keyed_futures, as_completed_tells_which_call_it_was_however_that_ended) {
  const auto executor = TypeParam::make(2);
  calls all;
  all.emplace_back("good", executor->submit(&divide, 6, 3));
  all.emplace_back("bad", executor->submit(&divide, 1, 0));
  std::map<std::string, std::string> ended;

  for (const auto& [key, f] : cadre::as_completed(all)) {
    try {
      ended[key] = std::to_string(f.get());
    } catch (const std::domain_error&) {
      ended[key] = "threw";
    }
  }

  EXPECT_EQ(ended, (std::map<std::string, std::string>{{"good", "2"}, {"bad", "threw"}}));
  EXPECT_TRUE(all[0].second.valid());
}

TYPED_TEST(keyed_futures, are_keys_of_maps) {
  const auto executor = TypeParam::make(2);
  std::unordered_map<future<int>, int> inputs;
  for (int n = 0; n < 100; ++n) inputs[executor->submit(&multiply, n, 2)] = n;

  for (const auto& f : cadre::as_completed(std::views::keys(inputs))) {
    EXPECT_EQ(f.get(), inputs.at(f) * 2);
  }

  EXPECT_EQ(inputs.size(), 100U);
}

TEST(keyed_as_completed, takes_the_elements_of_a_map) {
  const example_futures ready;
  const std::map<int, future<int>> all{{1, ready.finished}, {2, ready.failed}};

  std::set<int> keys;
  for (const auto& [key, f] : cadre::as_completed(all, short_time)) keys.insert(key);

  EXPECT_EQ(keys, (std::set{1, 2}));
}

TEST(keyed_as_completed, yields_one_future_once_for_each_of_its_keys) {
  const example_futures ready;
  const calls all{{"a", ready.finished}, {"b", ready.finished}};

  std::set<std::string> keys;
  for (const auto& [key, f] : cadre::as_completed(all)) keys.insert(key);

  EXPECT_EQ(keys, (std::set<std::string>{"a", "b"}));
}

TEST(keyed_as_completed, takes_keys_that_can_only_be_moved) {
  const example_futures ready;
  std::vector<std::pair<std::unique_ptr<int>, future<int>>> all;
  all.emplace_back(std::make_unique<int>(7), ready.finished);

  auto range = cadre::as_completed(std::move(all));
  auto found = range.next();

  ASSERT_TRUE(found);
  EXPECT_EQ(*found->first, 7);
  EXPECT_FALSE(range.next());
}

TEST(keyed_as_completed, a_timeout_ends_the_wait_for_the_rest) {
  const example_futures ready;
  const calls all{{"done", ready.finished}, {"not", ready.pending}};
  auto range = cadre::as_completed(all, short_time);

  EXPECT_EQ(range.next()->first, "done");
  EXPECT_THROW(range.next(), timeout_error);
  EXPECT_EQ(range.remaining(), 1U);
}

TEST(keyed_as_completed, pairs_can_be_added_while_iterating) {
  const example_futures ready;
  auto range = cadre::as_completed(calls{{"0", ready.finished}});
  std::vector<std::string> keys;

  for (const auto& [key, f] : range) {
    keys.push_back(key);
    if (keys.size() < 5) range.add(std::to_string(keys.size()), ready.finished);
  }

  EXPECT_EQ(keys, (std::vector<std::string>{"0", "1", "2", "3", "4"}));
}

TEST(keyed_as_completed, keeps_no_reference_to_what_it_yielded) {
  promise<std::shared_ptr<int>> p;
  auto range = cadre::as_completed(
      std::vector<std::pair<int, future<std::shared_ptr<int>>>>{{1, p.get_future()}});
  const auto value = std::make_shared<int>(1);
  p.set_value(value);

  const auto taken = range.next()->second.take();

  EXPECT_EQ(value.use_count(), 2);
}

TEST(keyed_as_completed, takes_keys_that_cannot_be_assigned) {
  struct fixed {
    const int number;
  };
  const example_futures ready;
  const std::vector<std::pair<fixed, future<int>>> all{{fixed{7}, ready.finished}};

  for (const auto& [key, f] : cadre::as_completed(all)) EXPECT_EQ(key.number, 7);
}

// What a view looks at belongs to somebody.
TEST(waiting_for_a_view, leaves_its_futures_and_keys_where_they_are) {
  const example_futures ready;
  futures plain{ready.finished, ready.failed};
  calls keyed{{"a", ready.finished}, {"b", ready.failed}};
  std::map<std::string, future<int>> mapped{{"c", ready.finished}};
  const auto all = std::views::filter([](const auto&) { return true; });

  cadre::wait(plain | all);
  for (const auto& f : cadre::as_completed(plain | all)) EXPECT_TRUE(f.done());
  for (const auto& [key, f] : cadre::as_completed(keyed | all)) EXPECT_TRUE(f.done());
  for (const auto& [key, f] : cadre::as_completed(mapped | all)) EXPECT_TRUE(f.done());
  for (const auto& f : cadre::as_completed(keyed | std::views::values)) EXPECT_TRUE(f.done());
  cadre::when_all(plain | all).wait();
  cadre::when_any(plain | all).wait();

  for (const auto& f : plain) EXPECT_TRUE(f.valid());
  for (const auto& [key, f] : keyed) EXPECT_TRUE(f.valid() && key.size() == 1);
  EXPECT_TRUE(mapped.at("c").valid());
}

TEST(future_identity, is_that_of_the_call) {
  promise<int> p;
  promise<int> q;
  const future<int> a = p.get_future();
  const future<int> b = a;
  const future<int> c = q.get_future();
  const future<int> empty;

  EXPECT_EQ(a.id(), b.id());
  EXPECT_EQ(a <=> b, std::strong_ordering::equal);
  EXPECT_NE(a.id(), c.id());
  EXPECT_NE(a < c, c < a);
  EXPECT_EQ(empty.id(), nullptr);
  EXPECT_EQ(std::hash<future<int>>{}(a), std::hash<future<int>>{}(b));
}

TEST(future_take, moves_the_value_out_and_leaves_the_handle_empty) {
  promise<std::unique_ptr<int>> p;
  auto f = p.get_future();
  p.set_value(std::make_unique<int>(42));

  EXPECT_EQ(*f.take(), 42);
  EXPECT_FALSE(f.valid());
}

}  // namespace cadre::test
