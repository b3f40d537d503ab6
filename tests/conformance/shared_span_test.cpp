// SPDX-License-Identifier: MIT
// Memory that processes share: what a shared_span promises in all of them.
#include <cadre/codec.hpp>
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>
#include <cadre/shared_span.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "conformance/executors.hpp"
#include "conformance/process_pools.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

template <typename Traits>
class shared_memory_between : public testing::Test {};
TYPED_TEST_SUITE(shared_memory_between, start_methods, executor_names);

using ints = shared_span<const int>;

int sum(const ints& values) { return std::accumulate(values.begin(), values.end(), 0); }

shared_buffer<int> counting(std::size_t count) {
  shared_buffer<int> made{count};
  std::iota(made.begin(), made.end(), 1);
  return made;
}

ints count_to(int n) { return counting(static_cast<std::size_t>(n)).share(); }
ints give_back(ints values) { return values; }
ints middle(const ints& values) { return values.subspan(1, values.size() - 2); }

void fill(const shared_span<int>& where, int value) {
  for (int& each : where) each = value;
}

bool can_be_made_writable(const ints& values) {
  void* const page = const_cast<int*>(values.data());
  return ::mprotect(page, 1, PROT_READ | PROT_WRITE) == 0;
}

/// What of this process's descriptors and mappings is shared memory.
std::pair<long, long> held() {
  namespace fs = std::filesystem;
  const auto open = std::distance(fs::directory_iterator{"/proc/self/fd"}, {});
  long mapped = 0;
  std::ifstream maps{"/proc/self/maps"};
  for (std::string line; std::getline(maps, line);) mapped += line.find("/memfd:") != line.npos;
  return {open, mapped};
}

struct pieces {
  std::string name;
  std::vector<ints> parts;
  std::optional<ints> more;
};
int sum_of_pieces(const pieces& all) {
  int total = all.more ? sum(*all.more) : 0;
  for (const ints& part : all.parts) total += sum(part);
  return total;
}

}  // namespace

TYPED_TEST(shared_memory_between, lets_a_worker_read_what_its_creator_wrote) {
  const auto pool = TypeParam::make({.max_workers = 1});
  const auto values = counting(100'000);

  const int result = pool->submit(&sum, values.share().first(1000)).get_for(medium_time);

  EXPECT_EQ(result, 500'500);
}

TYPED_TEST(shared_memory_between, is_the_same_memory_each_time) {
  const auto pool = TypeParam::make({.max_workers = 1});
  auto values = counting(3);
  ASSERT_EQ(pool->submit(&sum, values.share()).get_for(medium_time), 6);

  values[0] = 11;

  EXPECT_EQ(pool->submit(&sum, values.share()).get_for(medium_time), 16);
}

TYPED_TEST(shared_memory_between, crosses_within_other_values) {
  const auto pool = TypeParam::make({.max_workers = 1});
  const auto few = counting(3);
  const auto more = counting(4);

  const auto total =
      pool->submit(&sum_of_pieces, pieces{"some", {few.share(), more.share(), {}}, few.share()});

  EXPECT_EQ(total.get_for(medium_time), 6 + 10 + 6);
}

TYPED_TEST(shared_memory_between, can_be_made_by_a_call) {
  const auto pool = TypeParam::make({.max_workers = 1});

  const ints made = pool->submit(&count_to, 1000).get_for(medium_time);

  EXPECT_EQ(made.size(), 1000U);
  EXPECT_EQ(sum(made), 500'500);
}

TYPED_TEST(shared_memory_between, goes_from_one_worker_to_another) {
  const auto first = TypeParam::make({.max_workers = 1});
  const auto second = TypeParam::make({.max_workers = 1});

  const ints made = first->submit(&count_to, 1000).get_for(medium_time);

  EXPECT_EQ(second->submit(&sum, made).get_for(medium_time), 500'500);
  EXPECT_EQ(first->submit(&sum, made).get_for(medium_time), 500'500);
}

TYPED_TEST(shared_memory_between, comes_back_as_what_it_was) {
  const auto pool = TypeParam::make({.max_workers = 1});
  const auto values = counting(10);

  const ints same = pool->submit(&give_back, values.share()).get_for(medium_time);
  const ints part = pool->submit(&middle, values.share()).get_for(medium_time);

  EXPECT_EQ(same.data(), values.data());
  EXPECT_EQ(part.data(), values.data() + 1);
  EXPECT_EQ(part.size(), 8U);
}

TYPED_TEST(shared_memory_between, is_written_by_all_if_it_is_for_everyone) {
  const auto pool = TypeParam::make({.max_workers = 2});
  const shared_buffer<int> lines{2000, shared_access::everyone};
  const auto all = lines.share_writable();

  const auto upper = pool->submit(&fill, all.first(1000), 1);
  const auto lower = pool->submit(&fill, all.last(1000), 2);
  upper.get_for(medium_time);
  lower.get_for(medium_time);

  EXPECT_EQ(sum(all), 3000);
}

TYPED_TEST(shared_memory_between, is_written_by_nobody_but_its_creator) {
  const auto pool = TypeParam::make({.max_workers = 1});
  const auto values = counting(10);

  EXPECT_FALSE(pool->submit(&can_be_made_writable, values.share()).get_for(medium_time));
  EXPECT_THROW(static_cast<void>(values.share_writable()), std::logic_error);
}

TYPED_TEST(shared_memory_between, may_be_empty) {
  const auto pool = TypeParam::make({.max_workers = 1});

  EXPECT_EQ(pool->submit(&sum, ints{}).get_for(medium_time), 0);
  EXPECT_TRUE(pool->submit(&count_to, 0).get_for(medium_time).empty());
}

TYPED_TEST(shared_memory_between, outlives_the_pool_that_made_it) {
  auto pool = TypeParam::make({.max_workers = 1});
  const ints made = pool->submit(&count_to, 1000).get_for(medium_time);

  pool.reset();

  EXPECT_EQ(sum(made), 500'500);
}

TYPED_TEST(shared_memory_between, goes_when_its_last_handle_goes) {
  const auto pool = TypeParam::make({.max_workers = 1});
  const auto before = pool->submit(&held).get_for(medium_time);
  {
    const auto values = counting(10);
    ASSERT_EQ(pool->submit(&sum, values.share()).get_for(medium_time), 55);
    ASSERT_NE(pool->submit(&held).get_for(medium_time), before);
  }

  auto now = pool->submit(&held).get_for(medium_time);
  const auto deadline = std::chrono::steady_clock::now() + medium_time;
  while (now != before && std::chrono::steady_clock::now() < deadline) {
    now = pool->submit(&held).get_for(medium_time);
  }
  EXPECT_EQ(now, before);
}

TYPED_TEST(shared_memory_between, leaves_nothing_behind_after_many_passes) {
  const auto pool = TypeParam::make({.max_workers = 1});
  const auto before = pool->submit(&held).get_for(medium_time);
  const auto here = held();

  for (int i = 0; i < 2000; ++i) {
    const auto values = counting(4);
    ASSERT_EQ(pool->submit(&sum, values.share()).get_for(medium_time), 10);
    ASSERT_EQ(pool->submit(&count_to, 3).get_for(medium_time).size(), 3U);
  }

  auto now = pool->submit(&held).get_for(medium_time);
  const auto deadline = std::chrono::steady_clock::now() + medium_time;
  while (now != before && std::chrono::steady_clock::now() < deadline) {
    now = pool->submit(&held).get_for(medium_time);
  }
  EXPECT_EQ(now, before);
  EXPECT_EQ(held(), here);
}

TYPED_TEST(shared_memory_between, takes_its_turn_when_there_is_much_of_it) {
  const auto pool = TypeParam::make({.max_workers = 1});
  std::vector<future<int>> sums;

  // More than fit into a socket that nobody reads yet.
  for (int i = 0; i < 300; ++i) {
    pieces some;
    for (std::size_t n = 1; n <= 5; ++n) some.parts.push_back(counting(n).share());
    sums.push_back(pool->submit(&sum_of_pieces, some));
  }

  for (const auto& each : sums) EXPECT_EQ(each.get_for(long_time), 1 + 3 + 6 + 10 + 15);
}

TYPED_TEST(shared_memory_between, is_refused_if_one_call_has_too_much_of_it) {
  const auto pool = TypeParam::make({.max_workers = 1});
  pieces many;
  for (int i = 0; i < 65; ++i) many.parts.push_back(counting(1).share());

  EXPECT_NE(message_of(pool->submit(&sum_of_pieces, many)).find("more than 64 different"),
            std::string::npos);
}

TEST(shared_memory, crosses_in_elements_of_a_map) {
  process_pool_executor pool{1};
  const auto values = counting(6);
  const std::vector<ints> halves{values.share().first(3), values.share().last(3)};

  std::vector<int> sums;
  for (const int s : pool.map(&sum, halves)) sums.push_back(s);

  EXPECT_EQ(sums, (std::vector{6, 15}));
}

TEST(shared_memory, goes_to_threads_as_it_is) {
  thread_pool_executor pool{1};
  const auto values = counting(4);

  EXPECT_EQ(pool.submit(&give_back, values.share()).get().data(), values.data());
}

TEST(shared_memory, becomes_no_bytes_outside_a_pool) {
  encoder out;
  EXPECT_THROW(encode(out, counting(4).share()), codec_error);
}

}  // namespace cadre::test
