// SPDX-License-Identifier: MIT
// ipc/channel.hpp with both ends in one process: pieces, positions that cannot be, and rings.
#include "ipc/channel.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "forked.hpp"

namespace cadre::ipc {
namespace {

using test::both_ends;

constexpr std::size_t ring_size = 64;

std::vector<std::byte> numbered(std::size_t count, int from = 0) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) {
    bytes[i] = static_cast<std::byte>((i + static_cast<std::size_t>(from)) * 7 % 251);
  }
  return bytes;
}

template <typename End>
std::vector<std::byte> read_up_to(End& end, std::size_t count) {
  std::vector<std::byte> bytes(count);
  bytes.resize(end.read_some(bytes.data(), count));
  return bytes;
}

/// How often the parent was rung since the last call.
std::uint64_t rings_of_parent(const both_ends& ends) {
  std::uint64_t count = 0;
  return ::read(ends.parent.bell.fd(), &count, sizeof count) > 0 ? count : 0;
}

side& words_of(const region& r) { return *reinterpret_cast<side*>(r.bytes().data()); }

TEST(channel, what_is_not_published_is_not_readable) {
  both_ends ends{ring_size};

  ends.parent.end->write_some(numbered(10));
  EXPECT_EQ(ends.worker.end.readable(), 0U);
  ends.parent.end->write_some(numbered(10));
  ends.parent.end->publish();

  EXPECT_EQ(ends.worker.end.readable(), 20U);
}

TEST(channel, bytes_go_both_ways) {
  both_ends ends{ring_size};

  ends.parent.end->write_some(numbered(10));
  ends.parent.end->publish();
  ends.worker.end.write_some(numbered(20, 1));
  ends.worker.end.publish();

  EXPECT_EQ(read_up_to(ends.worker.end, ring_size), numbered(10));
  EXPECT_EQ(read_up_to(*ends.parent.end, ring_size), numbered(20, 1));
}

TEST(channel, a_read_takes_what_there_is_and_leaves_the_rest) {
  both_ends ends{ring_size};
  ends.parent.end->write_some(numbered(10));
  ends.parent.end->publish();

  EXPECT_EQ(read_up_to(ends.worker.end, 3), numbered(3));
  EXPECT_EQ(ends.worker.end.readable(), 7U);
  EXPECT_EQ(read_up_to(ends.worker.end, 100), numbered(7, 3));
  EXPECT_EQ(read_up_to(ends.worker.end, 100), numbered(0));
}

TEST(channel, a_write_takes_what_fits) {
  both_ends ends{ring_size};

  EXPECT_EQ(ends.parent.end->write_some(numbered(ring_size + 10)), ring_size);
  EXPECT_EQ(ends.parent.end->write_some(numbered(1)), 0U);
  ends.parent.end->publish();
  read_up_to(ends.worker.end, 5);

  EXPECT_EQ(ends.parent.end->writable(), 5U);
  EXPECT_EQ(ends.parent.end->write_some(numbered(10, ring_size)), 5U);
}

// A contiguous ring would be stuck here: bug 4 of the prototype.
TEST(channel, a_message_as_long_as_the_ring_fits_wherever_it_begins) {
  for (std::size_t begin = 0; begin <= ring_size; ++begin) {
    both_ends ends{ring_size};
    ends.parent.end->write_some(numbered(begin));
    ends.parent.end->publish();
    read_up_to(ends.worker.end, begin);

    ASSERT_EQ(ends.parent.end->write_some(numbered(ring_size)), ring_size) << begin;
    ends.parent.end->publish();

    EXPECT_EQ(read_up_to(ends.worker.end, ring_size), numbered(ring_size)) << begin;
  }
}

TEST(channel, bytes_can_be_looked_at_in_place_up_to_the_end_of_the_ring) {
  both_ends ends{ring_size};
  ends.parent.end->write_some(numbered(ring_size - 10));
  ends.parent.end->publish();
  read_up_to(ends.worker.end, ring_size);
  EXPECT_TRUE(ends.worker.end.peek().empty());

  ends.parent.end->write_some(numbered(30));
  ends.parent.end->publish();

  EXPECT_EQ(ends.worker.end.peek().size(), 10U);
  EXPECT_EQ(ends.worker.end.peek()[9], numbered(30)[9]);
  ends.worker.end.consume(10);
  EXPECT_EQ(ends.worker.end.peek().size(), 20U);
  EXPECT_EQ(ends.worker.end.peek()[0], numbered(30)[10]);
}

TEST(channel, a_ring_of_another_size_than_a_power_of_two_is_refused) {
  EXPECT_THROW(channel_region_size(0), std::invalid_argument);
  EXPECT_THROW(channel_region_size(100), std::invalid_argument);
}

// --- a worker that writes what it should not ---

TEST(channel_trust, a_position_that_cannot_be_poisons_the_channel_for_good) {
  constexpr std::uint64_t published = 20;  // of which 5 are consumed
  for (const std::uint64_t tail : {ring_size + 6UL, 4UL, 19UL, 0UL, ~0UL, 1UL << 63}) {
    both_ends ends{ring_size};
    side& workers = words_of(ends.worker.mine.memory);
    ends.worker.end.write_some(numbered(published));
    ends.worker.end.publish();
    read_up_to(*ends.parent.end, 5);

    workers.tail.store(tail);

    EXPECT_EQ(ends.parent.end->readable(), 0U) << tail;
    EXPECT_TRUE(ends.parent.end->poisoned()) << tail;
    workers.tail.store(published);  // it is too late to be sorry
    EXPECT_EQ(ends.parent.end->readable(), 0U) << tail;
    EXPECT_TRUE(read_up_to(*ends.parent.end, ring_size).empty()) << tail;
    EXPECT_TRUE(ends.parent.end->peek().empty()) << tail;
    EXPECT_EQ(ends.parent.end->writable(), 0U) << tail;
    EXPECT_EQ(ends.parent.end->write_some(numbered(1)), 0U) << tail;
  }
}

TEST(channel_trust, more_consumed_than_published_poisons_the_channel) {
  constexpr std::uint64_t consumed = 10;
  for (const std::uint64_t head : {21UL, 9UL, 0UL, ~0UL}) {
    both_ends ends{ring_size};
    ends.parent.end->write_some(numbered(20));
    ends.parent.end->publish();
    ends.parent.end->write_some(numbered(1));  // not published
    read_up_to(ends.worker.end, consumed);
    EXPECT_EQ(ends.parent.end->writable(), ring_size - 11);
    EXPECT_FALSE(ends.parent.end->poisoned());

    words_of(ends.worker.mine.memory).head.store(head);

    EXPECT_EQ(ends.parent.end->writable(), 0U) << head;
    EXPECT_TRUE(ends.parent.end->poisoned()) << head;
    EXPECT_EQ(ends.parent.end->readable(), 0U) << head;
  }
}

TEST(channel_trust, every_position_that_can_be_is_taken) {
  for (std::uint64_t tail = 0; tail <= ring_size; ++tail) {
    both_ends ends{ring_size};
    words_of(ends.worker.mine.memory).tail.store(tail);

    EXPECT_EQ(ends.parent.end->readable(), tail);
    EXPECT_FALSE(ends.parent.end->poisoned());
  }
}

// Nor goes round for ever, as the prototype did (its bug 3).
TEST(channel_trust, nobody_waits_for_a_poisoned_channel) {
  both_ends ends{ring_size};
  words_of(ends.worker.mine.memory).tail.store(ring_size + 1);

  EXPECT_EQ(ends.parent.end->arm({.bytes = 1, .room = 1}), arming::poisoned);
  EXPECT_FALSE(ends.parent.wait({.bytes = 1, .room = 1}));
}

TEST(channel_trust, a_worker_does_not_wait_for_a_broken_parent) {
  both_ends ends{ring_size};
  words_of(ends.parent.mine.memory).tail.store(ring_size + 1);

  EXPECT_FALSE(ends.worker.wait({.bytes = 1}));
  EXPECT_TRUE(ends.worker.end.poisoned());
}

TEST(channel_trust, a_worker_that_wants_to_be_rung_for_everything_gets_just_that) {
  both_ends ends{ring_size};
  for (int sleep = 0; sleep < 1000; ++sleep) {
    words_of(ends.worker.mine.memory).sleep.store(static_cast<std::uint64_t>(sleep) * 4 + 3);
    ends.parent.end->write_some(numbered(1));
    ends.parent.end->publish();
    ASSERT_EQ(read_up_to(ends.worker.end, 1), numbered(1));
  }
  EXPECT_FALSE(ends.parent.end->poisoned());
}

// --- rings ---

TEST(channel_rings, nobody_is_rung_while_awake) {
  both_ends ends{ring_size};
  const std::uint32_t bell = words_of(ends.parent.mine.memory).bell.load();

  for (int turn = 0; turn < 100; ++turn) {
    ends.parent.end->write_some(numbered(10));
    ends.parent.end->publish();
    read_up_to(ends.worker.end, 10);
    ends.worker.end.write_some(numbered(10));
    ends.worker.end.publish();
    read_up_to(*ends.parent.end, 10);
  }

  EXPECT_EQ(rings_of_parent(ends), 0U);
  EXPECT_EQ(words_of(ends.parent.mine.memory).bell.load(), bell);
}

TEST(channel_rings, a_sleep_is_rung_for_once) {
  both_ends ends{ring_size};
  for (int sleep = 0; sleep < 3; ++sleep) {
    ASSERT_EQ(ends.parent.end->arm({.bytes = 1}), arming::armed);

    for (int result = 0; result < 3; ++result) {
      ends.worker.end.write_some(numbered(1));
      ends.worker.end.publish();
    }

    EXPECT_EQ(rings_of_parent(ends), 1U);
    ends.parent.end->disarm();
    read_up_to(*ends.parent.end, 3);
  }
}

TEST(channel_rings, who_has_waited_is_not_rung_any_more) {
  both_ends ends{ring_size};
  const auto now = std::chrono::steady_clock::now();
  EXPECT_FALSE(ends.worker.wait({.bytes = 1}, now));
  EXPECT_FALSE(ends.parent.wait({.bytes = 1}, now));
  const std::uint32_t bell = words_of(ends.parent.mine.memory).bell.load();

  ends.parent.end->write_some(numbered(1));
  ends.parent.end->publish();
  ends.worker.end.write_some(numbered(1));
  ends.worker.end.publish();

  EXPECT_EQ(words_of(ends.parent.mine.memory).bell.load(), bell);
  EXPECT_EQ(rings_of_parent(ends), 0U);
}

TEST(channel_rings, who_waits_for_bytes_is_not_rung_for_room) {
  both_ends ends{ring_size};
  ends.parent.end->write_some(numbered(10));
  ends.parent.end->publish();
  ASSERT_EQ(ends.parent.end->arm({.bytes = 1}), arming::armed);

  read_up_to(ends.worker.end, 10);

  EXPECT_EQ(rings_of_parent(ends), 0U);
}

TEST(channel_rings, who_waits_for_room_is_rung_for_it) {
  both_ends ends{ring_size};
  ends.parent.end->write_some(numbered(ring_size));
  ends.parent.end->publish();
  ASSERT_EQ(ends.parent.end->arm({.room = 10}), arming::armed);

  read_up_to(ends.worker.end, 10);

  EXPECT_EQ(rings_of_parent(ends), 1U);
  EXPECT_EQ(ends.parent.end->arm({.room = 10}), arming::granted);
}

TEST(channel_rings, who_may_be_rung_late_is_not_before_the_other_runs_dry) {
  both_ends ends{ring_size};
  ASSERT_EQ(ends.parent.end->arm({.bytes = 1, .late = true}), arming::armed);
  for (int result = 0; result < 3; ++result) {
    ends.worker.end.write_some(numbered(1));
    ends.worker.end.publish();
  }
  EXPECT_EQ(rings_of_parent(ends), 0U);

  ends.worker.end.run_dry();
  EXPECT_EQ(rings_of_parent(ends), 1U);
  ends.worker.end.run_dry();
  EXPECT_EQ(rings_of_parent(ends), 0U) << "once a sleep";
}

TEST(channel_rings, who_may_be_rung_late_is_before_the_other_waits) {
  both_ends ends{ring_size};
  ASSERT_EQ(ends.parent.end->arm({.bytes = 1, .late = true}), arming::armed);
  ends.worker.end.write_some(numbered(1));
  ends.worker.end.publish();

  EXPECT_FALSE(ends.worker.end.wait({.bytes = 1}, std::chrono::steady_clock::now()));

  EXPECT_EQ(rings_of_parent(ends), 1U);
}

TEST(channel_rings, nothing_is_armed_when_something_is_there_already) {
  both_ends ends{ring_size};
  ends.worker.end.write_some(numbered(1));
  ends.worker.end.publish();

  EXPECT_EQ(ends.parent.end->arm({.bytes = 1}), arming::granted);
  ends.worker.end.write_some(numbered(1));
  ends.worker.end.publish();

  EXPECT_EQ(rings_of_parent(ends), 0U);
}

TEST(channel_rings, a_wait_for_nothing_that_comes_ends_at_its_deadline) {
  both_ends ends{ring_size};
  const auto deadline = std::chrono::steady_clock::now() + test::short_time;

  EXPECT_FALSE(ends.worker.wait({.bytes = 1}, deadline));
  EXPECT_GE(std::chrono::steady_clock::now(), deadline);
  EXPECT_FALSE(ends.worker.end.wait({.bytes = 1}, deadline));  // with spinning, in the past
}

/// Both ends on the same addresses, so that ThreadSanitizer sees who reads whose bytes.
struct ends_in_threads {
  side parents, workers;
  std::array<std::byte, ring_size> parents_ring{}, workers_ring{};
  event bell;
  parent_end parent{{parents, parents_ring}, {workers, workers_ring}};
  worker_end worker{
      {workers, workers_ring}, {parents, parents_ring}, event{descriptor{::dup(bell.fd())}}};
};

template <typename Condition>
void await(Condition condition) {
  while (!sync::spin_until(condition, default_spin)) {
  }
}

// Red under ThreadSanitizer when the head is published with a relaxed store. Nobody sleeps: the word
// of that would order the threads, too.
TEST(channel_threads, a_stream_overwrites_only_what_was_consumed) {
  ends_in_threads ends;
  constexpr int count = 20'000;

  std::jthread reader{[&] {
    for (int expected = 0; expected < count; ++expected) {
      int number = -1;
      await([&] { return ends.worker.readable() >= sizeof number; });
      ends.worker.read_some(&number, sizeof number);
      ASSERT_EQ(number, expected);
    }
  }};
  for (int number = 0; number < count; ++number) {
    await([&] { return ends.parent.writable() >= sizeof number; });
    ends.parent.write_some(std::as_bytes(std::span{&number, 1}));
    ends.parent.publish();
  }
}

// Red under ThreadSanitizer when the tail is published with a relaxed store.
TEST(channel_threads, bytes_are_ordered_by_their_publication) {
  ends_in_threads ends;
  constexpr int calls = 2000;

  std::jthread echo{[&] {
    for (int call = 0; call < calls; ++call) {
      int number = 0;
      ASSERT_TRUE(ends.worker.wait({.bytes = sizeof number}));
      ASSERT_EQ(ends.worker.read_some(&number, sizeof number), sizeof number);
      ++number;
      ends.worker.write_some(std::as_bytes(std::span{&number, 1}));
      ends.worker.publish();
    }
  }};
  for (int call = 0; call < calls; ++call) {
    ends.parent.write_some(std::as_bytes(std::span{&call, 1}));
    ends.parent.publish();
    int number = 0;
    await([&] { return ends.parent.readable() >= sizeof number; });
    ends.parent.read_some(&number, sizeof number);
    ASSERT_EQ(number, call + 1);
  }
}

}  // namespace
}  // namespace cadre::ipc
