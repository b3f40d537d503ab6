// SPDX-License-Identifier: MIT
// What a worker sent back, copied out of its reach: nobody else can change it any more.
#pragma once

#include <cstddef>
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
    if (a.header.parts == 0) return {};
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
  explicit answer_reader(std::size_t max_message) noexcept : max_message_{max_message} {}

  /// Appends the answers that have arrived whole, at most `most`. False if the worker sent something
  /// that cannot be: it is not to be read again.
  bool read(ipc::parent_end& channel, ipc::packet_socket& packets, answers& to, std::size_t most);

 private:
  static constexpr std::size_t largest_small = 4096;

  std::size_t body_size() const noexcept;  // with parts

  const std::size_t max_message_;
  answer_header header_{};
  std::size_t have_ = 0;  // bytes of the header, or of the body
  bool in_body_ = false;
  bool receive_memories(ipc::packet_socket& packets);

  detail::large_buffer large_;
  std::vector<received_memory> memories_;
};

}  // namespace cadre::process
