// SPDX-License-Identifier: MIT
// ipc/channel.hpp between processes: streams, sleep, and the death of either side.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "forked.hpp"
#include "ipc/claim_table.hpp"

namespace cadre::ipc {
namespace {

using test::channel_from_child;
using test::channel_to_child;
using test::parent_process;
using test::worker_process;

TEST(channel_process, a_number_goes_there_and_back_while_both_sleep_in_between) {
  constexpr int calls = 2000;
  channel_to_child channel{
      4096, [](worker_process& worker) {
        for (int call = 0; call < calls; ++call) {
          int number = 0;
          read_all(worker, worker.end, std::as_writable_bytes(std::span{&number, 1}));
          number *= 2;
          write_all(worker, worker.end, std::as_bytes(std::span{&number, 1}));
        }
        return 0;
      }};
  parent_process& parent = channel.parent;

  for (int call = 0; call < calls; ++call) {
    write_all(parent, *parent.end, std::as_bytes(std::span{&call, 1}));
    int number = -1;
    read_all(parent, *parent.end, std::as_writable_bytes(std::span{&number, 1}));
    ASSERT_EQ(number, call * 2);
  }

  EXPECT_EQ(channel.child.wait(), 0);
}

std::byte byte_at(std::size_t i) { return static_cast<std::byte>(i * 31 % 253); }

/// Sends and checks a message of `size` bytes at the same time, in pieces of odd sizes.
template <typename Side, typename End>
bool exchange(Side& side, End& end, std::size_t size) {
  std::array<std::byte, 1021> piece;
  std::array<std::byte, 499> got;
  for (std::size_t written = 0, read = 0; written < size || read < size;) {
    const std::size_t next = std::min(piece.size(), size - written);
    for (std::size_t i = 0; i < next; ++i) piece[i] = byte_at(written + i);
    const std::size_t out = end.write_some(std::span{piece}.first(next));
    end.publish();
    const std::size_t in = end.read_some(got.data(), got.size());
    for (std::size_t i = 0; i < in; ++i) {
      if (got[i] != byte_at(read + i)) return false;
    }
    written += out;
    read += in;
    if (out + in != 0) continue;
    if (!side.wait({.bytes = read < size ? 1U : 0U, .room = written < size ? 1U : 0U}))
      return false;
  }
  return true;
}

TEST(channel_process, messages_above_the_ring_stream_both_ways_at_once) {
  constexpr std::size_t size = 1'000'003;
  channel_to_child channel{
      4096, [](worker_process& worker) { return exchange(worker, worker.end, size) ? 0 : 1; }};

  EXPECT_TRUE(exchange(channel.parent, *channel.parent.end, size));

  EXPECT_EQ(channel.child.wait(), 0);
}

TEST(channel_process, a_child_cannot_write_the_memory_of_its_parent) {
  channel_to_child channel{4096, [](worker_process& worker) {
                             void* const theirs = worker.theirs.bytes().data();
                             return ::mprotect(theirs, 4096, PROT_READ | PROT_WRITE) == -1 ? 0 : 1;
                           }};

  EXPECT_EQ(channel.child.wait(), 0);
}

TEST(channel_process, a_worker_that_scribbles_on_all_it_can_write_harms_nobody_else) {
  for (unsigned seed = 0; seed < 30; ++seed) {
    channel_to_child channel{4096, [&](worker_process& worker) -> int {
                               std::minstd_rand random{seed};
                               const std::span<std::byte> mine = worker.mine.memory.bytes();
                               for (;;) {
                                 // Mostly the words, in the first four lines.
                                 const std::size_t at =
                                     random() % (random() % 4 == 0 ? mine.size() : 256);
                                 mine[at] = static_cast<std::byte>(random());
                               }
                             }};
    parent_end& end = *channel.parent.end;
    std::array<std::byte, 1024> anything{};

    for (int turn = 0; turn < 100'000 && !end.poisoned(); ++turn) {
      EXPECT_LE(end.readable(), 4096U);
      EXPECT_LE(end.read_some(anything.data(), anything.size()), anything.size());
      EXPECT_LE(end.write_some(anything), anything.size());
      end.publish();
      if (end.arm({.bytes = 1}) == arming::armed) end.disarm();
      sync::yield();
    }

    EXPECT_TRUE(end.poisoned()) << "seed " << seed;
  }
}

// --- death ---

struct message {
  static constexpr std::size_t max_size = 300;
  std::uint32_t size;
  std::uint32_t number;
  std::array<std::byte, max_size> bytes;

  static message make(std::uint32_t number) {
    message m{static_cast<std::uint32_t>(number * 7919 % max_size), number, {}};
    std::fill_n(m.bytes.begin(), m.size, static_cast<std::byte>(number));
    return m;
  }
  std::size_t length() const { return offsetof(message, bytes) + size; }
  std::span<const std::byte> as_bytes() const {
    return std::as_bytes(std::span{this, 1}).first(length());
  }
};

/// Sends numbered messages, each published when it is written whole, until it is killed.
template <typename Side, typename End>
int send_for_ever(Side& side, End& end) {
  for (std::uint32_t number = 0;; ++number) {
    const message m = message::make(number);
    if (!side.wait({.room = m.length()})) return 1;
    end.write_some(m.as_bytes());
    end.publish();
  }
}

/// True if the next bytes are message `number`, which it takes.
template <typename End>
bool take(End& end, std::uint32_t number) {
  const message expected = message::make(number);
  message got{};
  return end.read_some(&got, expected.length()) == expected.length() &&
         std::memcmp(&got, &expected, expected.length()) == 0;
}

/// Takes messages, kills the child after `count`, and takes what is left.
template <typename Side, typename End>
void survive(Side& side, End& end, test::forked& child, std::uint32_t count) {
  std::uint32_t number = 0;
  for (; number < count; ++number) {
    ASSERT_TRUE(side.wait({.bytes = 1}));
    ASSERT_TRUE(take(end, number)) << "message " << number << " of " << count;
  }
  child.kill();
  EXPECT_EQ(child.wait(), -SIGKILL);
  while (end.readable() != 0) {
    ASSERT_TRUE(take(end, number)) << "message " << number << ", left by the dead";
    ++number;
  }
  EXPECT_FALSE(end.poisoned());
  EXPECT_FALSE(side.wait({.bytes = 1}, std::chrono::steady_clock::now()));
}

TEST(channel_death, a_survivor_reads_whole_messages_only) {
  std::minstd_rand random{1};
  for (int round = 0; round < 100; ++round) {
    channel_to_child channel{
        1024, [](worker_process& worker) { return send_for_ever(worker, worker.end); }};
    survive(channel.parent, *channel.parent.end, channel.child,
            static_cast<std::uint32_t>(random() % 200));
  }
}

TEST(channel_death, a_worker_outlives_its_parent_with_whole_messages_only) {
  std::minstd_rand random{2};
  for (int round = 0; round < 100; ++round) {
    channel_from_child channel{
        1024, [](parent_process& parent) { return send_for_ever(parent, *parent.end); }};
    survive(channel.worker, channel.worker.end, channel.child,
            static_cast<std::uint32_t>(random() % 200));
  }
}

TEST(channel_death, a_table_says_which_calls_a_dead_worker_had_begun) {
  const auto [memory, handle] = region::create(sizeof(claim_table), region::access::both);
  claim_table& table = claim_table::make_in(memory);
  for (std::size_t slot = 0; slot < claim_table::slot_count; ++slot) table.post(slot, slot + 1000);
  auto [ours, theirs] = packet_socket::pair();
  test::forked child{[&] {
    const region shared = region::open(handle, sizeof(claim_table), region::access::both);
    claim_table& calls = claim_table::find_in(shared);
    for (std::size_t slot = 0; slot < 10; ++slot) {
      if (!calls.take(slot, slot + 1000)) return 1;
    }
    theirs.send(std::as_bytes(std::span{"ten"}));
    ::pause();
    return 0;
  }};

  std::array<std::byte, 8> text;
  ours.receive(text);
  child.kill();
  child.wait();

  for (std::size_t slot = 0; slot < claim_table::slot_count; ++slot) {
    EXPECT_EQ(table.is_taken(slot, slot + 1000), slot < 10);
    EXPECT_EQ(table.revoke(slot, slot + 1000), slot >= 10);
  }
}

}  // namespace
}  // namespace cadre::ipc
