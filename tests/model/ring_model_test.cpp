// SPDX-License-Identifier: MIT
// ipc/ring.hpp under every schedule, with every byte a step of its own.
#include "ipc/ring.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <vector>

#include "holds.hpp"
#include "sync/futex.hpp"

namespace cadre_model {

/// A byte of the ring that the explorer sees.
struct shown_byte {
  cadre::sync::atomic<unsigned char> value{0};
};

void copy(shown_byte* to, const std::byte* from, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) to[i].value.store(std::to_integer<unsigned char>(from[i]));
}

void copy(std::byte* to, const shown_byte* from, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) to[i] = std::byte{from[i].value.load()};
}

namespace {

using writer = cadre::ipc::ring_writer<shown_byte>;
using reader = cadre::ipc::ring_reader<shown_byte>;

template <std::size_t Capacity>
struct shared_ring {
  std::array<shown_byte, Capacity> bytes;
  cadre::ipc::position tail{0};
  cadre::ipc::position head{0};
  cadre::ipc::poison poisoned{false};
  writer out{bytes, tail, head, poisoned};
  reader in{bytes, tail, head, poisoned};
};

// Byte number n of the stream is n + 1: zero is what was never written.
void write(writer& out, std::size_t size, std::size_t piece) {
  for (std::size_t written = 0; written < size;) {
    std::vector<std::byte> bytes;
    for (std::size_t n = written; n < std::min(size, written + piece); ++n) {
      bytes.push_back(static_cast<std::byte>(n + 1));
    }
    const std::size_t taken = out.write_some(bytes);
    out.publish();
    if (taken == 0) cadre::sync::pause();
    written += taken;
  }
}

void read(reader& in, std::size_t size, std::size_t piece) {
  for (std::size_t read = 0; read < size;) {
    std::array<std::byte, 8> bytes{};
    const std::size_t got = in.copy_some(bytes.data(), piece);
    for (std::size_t i = 0; i < got; ++i) {
      check(bytes[i] == static_cast<std::byte>(read + i + 1), "bytes arrive once and in order");
    }
    if (got == 0) {
      cadre::sync::pause();
      continue;
    }
    in.consume(got);
    read += got;
  }
}

// Red when write_some() moves the tail before it copies, or copy_some() the head.
TEST(ring_model, bytes_arrive_once_and_in_order_around_the_end) {
  EXPECT_TRUE(holds([] {
    shared_ring<2> ring;
    label(ring.tail, "tail");
    label(ring.head, "head");
    in_parallel([&] { write(ring.out, 5, 2); }, [&] { read(ring.in, 5, 2); });
    check(!ring.poisoned.load(), "an honest peer poisons nothing");
  }));
}

TEST(ring_model, pieces_of_different_size_stream_through) {
  EXPECT_TRUE(holds([] {
    shared_ring<4> ring;
    in_parallel([&] { write(ring.out, 7, 3); }, [&] { read(ring.in, 7, 2); });
    check(ring.in.readable() == 0, "nothing is left");
    check(ring.out.writable() == 4, "all room is back");
  }));
}

// Red when write_some() publishes by itself.
TEST(ring_model, a_message_is_seen_whole_or_not_at_all) {
  EXPECT_TRUE(holds({.preemptions = 3}, [] {
    shared_ring<4> ring;
    constexpr std::array message{std::byte{1}, std::byte{2}, std::byte{3}};
    in_parallel(
        [&] {
          ring.out.write_some(std::span{message}.first(2));
          ring.out.write_some(std::span{message}.last(1));
          ring.out.publish();
        },
        [&] {
          const std::size_t seen = ring.in.readable();
          check(seen == 0 || seen == message.size(), "whole or not at all");
          read(ring.in, seen, seen);
        });
  }));
}

// Red when publish() moves the tail in two steps, or write_some() before it copies.
TEST(ring_model, a_writer_that_dies_leaves_only_whole_messages) {
  const options first_is_killed{.leaks = false, .victim = 1};
  EXPECT_TRUE(holds_if_killed(first_is_killed, [] {
    shared_ring<4> ring;
    std::size_t seen = 0;
    in_parallel([&] { write(ring.out, 4, 2); },
                [&] {
                  for (int looks = 0; looks < 2; ++looks) {
                    const std::size_t there = ring.in.readable();
                    check(there % 2 == 0, "whole messages of two bytes");
                    std::array<std::byte, 4> bytes{};
                    const std::size_t got = ring.in.copy_some(bytes.data(), 2);
                    for (std::size_t i = 0; i < got; ++i) {
                      check(bytes[i] == static_cast<std::byte>(++seen),
                            "no unwritten byte is seen");
                    }
                    ring.in.consume(got);
                  }
                });
    check(!ring.poisoned.load(), "a dead peer poisons nothing");
  }));
}

// Red when consume() moves the head in two steps.
TEST(ring_model, a_reader_that_dies_leaves_a_ring_that_can_be_filled) {
  const options first_is_killed{.victim = 1};
  EXPECT_TRUE(holds_if_killed(first_is_killed, [] {
    shared_ring<4> ring;
    constexpr std::array bytes{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}};
    ring.out.write_some(bytes);
    ring.out.publish();
    in_parallel([&] { read(ring.in, 4, 2); },
                [&] {
                  const std::size_t room = ring.out.writable();
                  check(room % 2 == 0, "room comes back as it was consumed");
                  check(ring.out.write_some(bytes) >= room, "what was room stays room");
                });
    check(!ring.poisoned.load(), "a dead peer poisons nothing");
  }));
}

}  // namespace
}  // namespace cadre_model
