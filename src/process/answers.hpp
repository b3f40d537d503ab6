// SPDX-License-Identifier: MIT
// What a worker sent back, copied out of its reach: nobody else can change it any more.
#pragma once

#include <cadre/detail/codec_parts.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/large_buffer.hpp"
#include "base/large_parts.hpp"
#include "ipc/channel.hpp"
#include "ipc/packet_socket.hpp"
#include "process/frame.hpp"
#include "process/shared_memory.hpp"

namespace cadre::process {

struct answer {
  answer_header header;
  std::size_t offset = 0;      // in answers::bytes; unless it is large
  detail::large_buffer large;  // a large one, with its parts
  std::vector<received_memory> memories;
  std::unique_ptr<detail::landing> landed;  // its parts, already in place
};

/// A batch of answers. Kept by a thread from one batch to the next, for its memory.
struct answers {
  std::vector<answer> list;
  std::vector<std::byte> bytes;

  std::span<const std::byte> body(const answer& a) const noexcept {
    const auto size = static_cast<std::size_t>(a.header.size);
    return {a.large ? a.large.data() : bytes.data() + a.offset, size};
  }
  /// The large parts of the value.
  std::span<const std::byte> parts(const answer& a) const noexcept {
    if (a.header.parts == 0 || a.landed) return {};
    return {a.large.data() + detail::padded(static_cast<std::size_t>(a.header.size)),
            static_cast<std::size_t>(a.header.parts)};
  }
  void clear() noexcept {
    list.clear();
    bytes.clear();
  }
};

/// Takes the stream of one worker apart. Belongs to the thread that reads the channel at the moment.
class answer_reader {
 public:
  /// `secret`: of frame_checks.
  answer_reader(std::size_t max_message, std::uint64_t secret) noexcept
      : max_message_{max_message}, checks_{secret} {}

  /// Appends the answers that have arrived whole, at most `most`. False if the worker sent something
  /// that cannot be: it is not to be read again.
  bool read(ipc::parent_end& channel, ipc::packet_socket& packets, answers& to, std::size_t most);

  /// True if a large answer has begun, and is not read before it is known where to put it.
  bool asks_where() const noexcept { return now_ == stage::asking; }
  /// Of which call it is the answer.
  std::uint64_t number() const noexcept { return header_.number; }
  /// Null: nowhere in particular. Requires asks_where().
  void put_it(detail::land_function where) noexcept {
    land_ = where;
    now_ = where != nullptr ? stage::word : stage::body;
  }

 private:
  static constexpr std::size_t largest_small = 4096;
  static constexpr std::size_t piece = std::size_t{32} << 10;  // read before it is given back
  // What is next. A body of one word with large parts may be put in place: then it is asking, word,
  // parts; any other one is body.
  enum class stage { header, asking, word, parts, body };

  std::size_t body_size() const noexcept;  // with parts
  bool is_possible() const noexcept;
  bool read_small(ipc::parent_end& channel, answers& to);
  bool begin_body(ipc::packet_socket& packets);
  bool read_word(ipc::parent_end& channel);
  bool read_parts(ipc::parent_end& channel, answers& to);
  bool read_body(ipc::parent_end& channel, answers& to);
  bool receive_memories(ipc::packet_socket& packets);

  const std::size_t max_message_;
  frame_checks checks_;
  stage now_ = stage::header;
  answer_header header_{};
  std::size_t have_ = 0;  // bytes of the header, of the body, or in buffer_
  detail::land_function land_ = nullptr;
  std::uint64_t word_ = 0;  // the body
  std::unique_ptr<detail::landing> landing_;
  std::size_t padding_ = 0;  // behind its elements
  // What arrived in part, or lies where it cannot be read in place.
  alignas(detail::part_alignment) std::array<std::byte, detail::largest_part_element> buffer_;
  detail::large_buffer large_;
  std::vector<received_memory> memories_;
};

}  // namespace cadre::process
