// SPDX-License-Identifier: MIT
// ring_writer and ring_reader: a stream of bytes between two processes, through a ring of which each
// side writes only its own part.
//
//   word    written by   in the region of   says
//   ring    writer       writer             the bytes [head, tail), at position modulo capacity
//   tail    writer       writer             how many bytes were published, ever
//   head    reader       reader             how many bytes were consumed, ever
//
// Writing and reading may be partial: a message of any size streams through in pieces. What is
// written becomes visible by publish(), all of it at once: up to that size a message arrives whole
// or not at all, also when the writer is killed.
//
// Trust      The other side may be broken. Its position is read once and must not go back, nor
//            beyond what can be: a writer cannot publish more than the ring holds, a reader cannot
//            consume what was not published. If it does, the channel is poisoned: this side sees an
//            empty and full ring from then on, and never looks at the other's memory again.
// Threads    One writes, one reads.
// Cost       No system call. The other side's position is read only when the one last seen does not
//            suffice, so that its cache line stays with it.
#pragma once

#include <cadre/detail/atomic.hpp>
#include <cadre/detail/prefetch.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace cadre::ipc {

using position = sync::atomic<std::uint64_t>;

/// Set once, by either half of a channel, and never cleared.
using poison = sync::atomic<bool>;

inline bool is_set(const poison& poisoned) noexcept {
  return poisoned.load(std::memory_order_relaxed);  // relaxed: nothing else is said by it
}

inline void copy(std::byte* to, const std::byte* from, std::size_t size) noexcept {
  if (size != 0) std::memcpy(to, from, size);
}

/// `Cell`: std::byte, but for model tests, which show the explorer each byte.
template <typename Cell = std::byte>
class ring_writer {
 public:
  /// `ring` has the size of a power of two.
  ring_writer(std::span<Cell> ring, position& tail, const position& head, poison& poisoned) noexcept
      : ring_{ring}, published_{tail}, peer_head_{head}, poisoned_{poisoned} {}

  /// Copies as many of `bytes` as there is room for, and returns how many.
  std::size_t write_some(std::span<const std::byte> bytes) noexcept {
    if (room() < bytes.size()) refresh();
    // The reader has it, and publish() cannot fetch it before the bytes have arrived.
    detail::prefetch_for_write(&published_);
    const std::size_t size = std::min(bytes.size(), room());
    const auto at = static_cast<std::size_t>(tail_) & (ring_.size() - 1);
    const std::size_t before_end = std::min(size, ring_.size() - at);
    // dies here: the survivor sees nothing of it; test
    // unit.channel_death.a_survivor_reads_whole_messages_only.
    copy(ring_.data() + at, bytes.data(), before_end);
    copy(ring_.data(), bytes.data() + before_end, size - before_end);
    tail_ += size;
    return size;
  }

  /// Lets the reader see what was written. False if there was nothing new.
  bool publish() noexcept {
    if (tail_ == visible_) return false;
    visible_ = tail_;
    // seq_cst: releases the bytes to the load in ring_reader::refresh(), with which it pairs; and
    // step P1 of the channel.
    published_.store(tail_, std::memory_order_seq_cst);
    return true;
  }

  /// Fetches the lines that the next `size` bytes will be written to.
  void prefetch(std::size_t size) const noexcept {
    constexpr std::size_t line = 64;
    for (std::size_t i = 0; i < size + line; i += line) {
      detail::prefetch_for_write(&ring_[static_cast<std::size_t>(tail_ + i) & (ring_.size() - 1)]);
    }
  }

  bool has_room(std::size_t size) noexcept {
    if (room() < size) refresh();
    return room() >= size;
  }

  /// How many bytes can be written now.
  std::size_t writable() noexcept {
    refresh();
    return room();
  }

 private:
  std::size_t room() const noexcept {
    return is_set(poisoned_) ? 0 : ring_.size() - static_cast<std::size_t>(tail_ - head_);
  }

  void refresh() noexcept {
    if (is_set(poisoned_)) return;
    // seq_cst: acquires from the store in ring_reader::consume(), with which it pairs: the reader is
    // done with those bytes. And step S2 of the channel.
    const std::uint64_t head = peer_head_.load(std::memory_order_seq_cst);
    if (head - head_ <= visible_ - head_) {
      head_ = head;
    } else {
      poisoned_.store(true, std::memory_order_relaxed);  // relaxed: nothing else is said by it
    }
  }

  std::span<Cell> ring_;
  position& published_;
  const position& peer_head_;
  poison& poisoned_;
  std::uint64_t tail_ = 0;     // written
  std::uint64_t visible_ = 0;  // published
  std::uint64_t head_ = 0;     // as last seen
};

template <typename Cell = std::byte>
class ring_reader {
 public:
  /// As ring_writer().
  ring_reader(std::span<const Cell> ring, const position& tail, position& head,
              poison& poisoned) noexcept
      : ring_{ring}, peer_tail_{tail}, consumed_{head}, poisoned_{poisoned} {}

  /// How many bytes can be read now.
  std::size_t readable() noexcept {
    refresh();
    return available();
  }

  /// Copies as many of the next bytes as there are, at most `size`, and returns how many. They are
  /// to be consumed.
  std::size_t copy_some(std::byte* to, std::size_t size) noexcept {
    if (available() < size) refresh();
    size = std::min(size, available());
    const std::size_t before_end = std::min(size, ring_.size() - offset());
    copy(to, ring_.data() + offset(), before_end);
    copy(to + before_end, ring_.data(), size - before_end);
    return size;
  }

  /// The next bytes in place, as far as they lie together; none if there are none. Before consume()
  /// the writer will not overwrite them, unless it is broken: check copies.
  std::span<const Cell> peek() noexcept {
    if (available() == 0) refresh();
    return ring_.subspan(offset(), std::min(available(), ring_.size() - offset()));
  }

  /// Gives the room of the next `size` bytes, which are available, back to the writer.
  void consume(std::size_t size) noexcept {
    head_ += std::min(size, available());
    // dies here: the survivor still takes the bytes for unread, and can write less; test
    // model.ring_model.a_reader_that_dies_leaves_a_ring_that_can_be_filled.
    // seq_cst: releases the room to the load in ring_writer::refresh(), with which it pairs; and
    // step P1 of the channel.
    consumed_.store(head_, std::memory_order_seq_cst);
  }

 private:
  std::size_t offset() const noexcept {
    return static_cast<std::size_t>(head_) & (ring_.size() - 1);
  }
  std::size_t available() const noexcept {
    return is_set(poisoned_) ? 0 : static_cast<std::size_t>(tail_ - head_);
  }

  void refresh() noexcept {
    if (is_set(poisoned_)) return;
    // seq_cst: acquires the bytes from the store in ring_writer::publish(), with which it pairs; and
    // step S2 of the channel.
    const std::uint64_t tail = peer_tail_.load(std::memory_order_seq_cst);
    if (tail - head_ <= ring_.size() && tail - head_ >= tail_ - head_) {
      tail_ = tail;
    } else {
      poisoned_.store(true, std::memory_order_relaxed);  // relaxed: nothing else is said by it
    }
  }

  std::span<const Cell> ring_;
  const position& peer_tail_;
  position& consumed_;
  poison& poisoned_;
  std::uint64_t head_ = 0;  // consumed
  std::uint64_t tail_ = 0;  // as last seen
};

}  // namespace cadre::ipc
