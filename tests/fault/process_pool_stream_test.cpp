// SPDX-License-Identifier: MIT
// Calls of all sizes are taken back from their workers, at every stage: the worker must find the next
// frame behind them. A worker that does not ends, and its pid with it. The environment says how many,
// and where the random numbers begin: CADRE_STREAM_CALLS, CADRE_STREAM_SEED.
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "base/large_parts.hpp"
#include "fault/process_pool_calls.hpp"
#include "process/remote_worker.hpp"
#include "support/gate.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using process::remote_worker;

unsigned given(const char* name, unsigned otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : otherwise;
}

using bytes = std::vector<std::uint8_t>;
using words = std::vector<std::uint64_t>;
struct odd_element {
  std::array<std::uint8_t, 3> all;
  bool operator==(const odd_element&) const = default;
};

/// Depends on each byte, and on their order.
template <typename T>
std::uint64_t digest(const std::vector<T>& all) {
  std::uint64_t sum = all.size();
  const auto seen = std::as_bytes(std::span{all});
  for (const std::byte b : seen) sum = sum * 31 + static_cast<std::uint64_t>(b);
  return sum;
}
std::uint64_t digest_of_bytes(const bytes& all) { return digest(all); }
std::uint64_t digest_of_words(const words& all) { return digest(all); }
std::uint64_t digest_of_odd(const std::vector<odd_element>& all) { return digest(all); }
std::uint64_t digest_of_both(const bytes& one, const words& other) {
  return digest(one) * 31 + digest(other);
}

// Where the way that bytes take changes, or a piece ends.
constexpr std::array<std::size_t, 9> boundaries{
    0,
    detail::part_alignment,
    4096,  // a page; what a task holds in itself; what a worker reads in place
    std::size_t{16} << 10,
    std::size_t{32} << 10,  // what is published and given back at once
    detail::least_part,
    remote_worker::ring_capacity,
    std::size_t{1} << 20,
    std::size_t{4} << 20,
};

std::size_t random_size(std::minstd_rand& random) {
  // The large ones less often: they take long.
  const std::size_t which = std::min(random() % boundaries.size(), random() % boundaries.size());
  const std::size_t at = which + 1 < boundaries.size() || random() % 8 == 0 ? boundaries[which] : 0;
  switch (random() % 4) {
    case 0:
      return at + random() % 300;  // headers and their padding
    case 1:
      return at - std::min<std::size_t>(at, random() % 300);
    case 2:
      return at + at / 4 * (random() % 3) + random() % 3;
    default:
      return at + 1 - std::min<std::size_t>(at + 1, random() % 3);
  }
}

/// A call with arguments of about so many bytes, and what it returns.
struct one_call {
  future<std::uint64_t> answer;
  std::uint64_t right = 0;
};

template <typename T>
T filled(std::size_t size, unsigned with) {
  T all(size / sizeof(typename T::value_type));
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::uint64_t word = (i * 0x9e3779b97f4a7c15U) ^ with;
    std::memcpy(&all[i], &word, std::min(sizeof word, sizeof all[i]));
  }
  return all;
}

one_call submit(process_pool_executor& pool, std::minstd_rand& random) {
  const std::size_t size = random_size(random);
  const auto with = static_cast<unsigned>(random());
  switch (random() % 4) {
    case 0: {
      const auto all = filled<bytes>(size, with);
      return {pool.submit(&digest_of_bytes, all), digest(all)};
    }
    case 1: {
      const auto all = filled<words>(size, with);
      return {pool.submit(&digest_of_words, all), digest(all)};
    }
    case 2: {
      const auto all = filled<std::vector<odd_element>>(size, with);
      return {pool.submit(&digest_of_odd, all), digest(all)};
    }
    default: {
      const auto one = filled<bytes>(size, with);
      const auto other = filled<words>(random_size(random) / 4, with);
      return {pool.submit(&digest_of_both, one, other), digest_of_both(one, other)};
    }
  }
}

/// True if it is cancelled or has the right result.
bool ends_well(const one_call& call) {
  if (!call.answer.wait_for(long_time)) return false;
  return call.answer.cancelled() || call.answer.get() == call.right;
}

/// As `random` says, one of the stages at which a call can be taken back.
class taker {
 public:
  explicit taker(unsigned seed) : random_{seed} {
    // Both workers have begun.
    const auto one = pool_.submit(&pass, gate_.handle(), 1);
    const auto other = pool_.submit(&pass, gate_.handle(), 1);
    gate_.await_arrivals(2);
    gate_.admit(2);
    one.get();
    other.get();
    pids_ = pids();
  }

  std::vector<int> pids() {
    auto all = pool_.worker_pids();
    std::sort(all.begin(), all.end());
    return all;
  }
  bool keeps_its_workers() { return pids() == pids_; }

  /// Calls that were sent whole, or half, behind one that runs.
  bool cancel_behind() {
    const auto first = hold(2);
    std::vector<one_call> calls;
    for (auto i = 2 + random_() % 3; i != 0; --i) calls.push_back(submit(pool_, random_));
    for (auto i = calls.size(); i-- != 0;) {
      if (random_() % 4 != 0) calls[i].answer.cancel();
    }
    return release(first) && std::all_of(calls.begin(), calls.end(), ends_well);
  }

  /// Calls that the worker may just be about to begin.
  bool cancel_at_once() {
    std::vector<one_call> calls;
    for (auto i = 1 + random_() % 4; i != 0; --i) {
      calls.push_back(submit(pool_, random_));
      for (auto spin = random_() % 2000; spin != 0; --spin) static_cast<void>(random_());
      calls[random_() % calls.size()].answer.cancel();
    }
    return std::all_of(calls.begin(), calls.end(), ends_well);
  }

  /// Calls behind one that runs, which go to the other worker when that has nothing else to do.
  bool move() {
    const auto first = hold(2);
    std::vector<one_call> calls;
    for (int i = 0; i < 2; ++i) calls.push_back(submit(pool_, random_));
    gate_.admit(1);
    const bool well = std::all_of(calls.begin(), calls.end(), ends_well);
    gate_.admit(1);
    return well && first[0].get_for(long_time) == 1 && first[1].get_for(long_time) == 1;
  }

  bool any() {
    switch (random_() % 3) {
      case 0:
        return cancel_behind();
      case 1:
        return cancel_at_once();
      default:
        return move();
    }
  }

 private:
  /// So many workers are busy from now on.
  std::vector<future<int>> hold(unsigned count) {
    std::vector<future<int>> held;
    const unsigned before = gate_.arrivals();
    for (unsigned i = 0; i < count; ++i) held.push_back(pool_.submit(&pass, gate_.handle(), 1));
    gate_.await_arrivals(before + count);
    return held;
  }
  bool release(const std::vector<future<int>>& held) {
    gate_.admit(static_cast<unsigned>(held.size()));
    return std::all_of(held.begin(), held.end(),
                       [](const auto& f) { return f.get_for(long_time) == 1; });
  }

  std::minstd_rand random_;
  const gate gate_;
  process_pool_executor pool_{2};
  std::vector<int> pids_;
};

}  // namespace

// The last piece of an argument that nobody read was left in the stream, and obeyed.
TEST(process_pool_stream, a_large_call_that_is_cancelled_keeps_its_worker) {
  const gate here;
  process_pool_executor pool{1};
  const int pid = pool.submit(&own_pid).get();
  unsigned arrivals = 0;
  for (const std::size_t size : {65'536U, 100'000U, 200'000U}) {
    const auto first = pool.submit(&pass, here.handle(), 1);
    here.await_arrivals(++arrivals);
    auto large = pool.submit(&digest_of_bytes, bytes(size, 4));
    EXPECT_TRUE(large.cancel());
    here.admit(1);
    EXPECT_EQ(first.get_for(long_time), 1);
    EXPECT_EQ(pool.submit(&own_pid).get_for(long_time), pid) << size;
  }
}

TEST(process_pool_stream, a_large_call_that_is_taken_back_from_a_slow_worker_runs_there_later) {
  const gate here;
  process_pool_executor pool{1};
  const int pid = pool.submit(&own_pid).get();
  const auto slow = pool.submit(&pass, here.handle(), 1);
  here.await_arrivals(1);
  const bytes argument(100'000, 4);
  const auto large = pool.submit(&digest_of_bytes, argument);

  EXPECT_FALSE(slow.wait_for(3 * short_time));  // longer than a call may keep others waiting
  here.open();

  EXPECT_EQ(large.get_for(long_time), digest(argument));
  EXPECT_EQ(pool.submit(&own_pid).get_for(long_time), pid);
}

TEST(process_pool_stream, calls_of_all_sizes_that_are_taken_back_keep_their_workers) {
  const unsigned seed = given("CADRE_STREAM_SEED", std::random_device{}() % 1'000'000);
  std::printf("CADRE_STREAM_SEED=%u\n", seed);
  taker all{seed};

  for (unsigned left = given("CADRE_STREAM_CALLS", 150); left != 0; --left) {
    ASSERT_TRUE(all.any());
    ASSERT_TRUE(all.keeps_its_workers()) << left;
  }
}

}  // namespace cadre::test
