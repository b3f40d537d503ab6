// SPDX-License-Identifier: MIT
#include "process/answers.hpp"

#include <span>
#include <utility>

namespace cadre::process {

std::size_t answer_reader::body_size() const noexcept {
  const auto size = static_cast<std::size_t>(header_.size);
  return header_.parts == 0 ? size : detail::padded(size) + static_cast<std::size_t>(header_.parts);
}

/// The packets were sent before the header. False if they were not.
bool answer_reader::receive_memories(ipc::packet_socket& packets) {
  memories_.clear();
  if (header_.memories > most_memories) return false;
  for (std::uint64_t i = 0; i < header_.memories; ++i) {
    received_memory memory;
    auto packet = packets.receive(std::as_writable_bytes(std::span{&memory.what, 1}),
                                  ipc::packet_socket::mode::dont_wait);
    if (packet.result != ipc::packet_socket::outcome::done || packet.size != sizeof memory.what) {
      return false;
    }
    if (packet.descriptor_count == 1) {
      memory.handle = std::move(packet.descriptors[0]);
    } else if (!packet.cut_off) {
      return false;
    }  // else this process has no descriptor left: whoever decodes the answer will say so
    memories_.push_back(std::move(memory));
  }
  return true;
}

bool answer_reader::read(ipc::parent_end& channel, ipc::packet_socket& packets, answers& to,
                         std::size_t most) {
  while (to.list.size() < most) {
    if (!in_body_) {
      auto* header = reinterpret_cast<std::byte*>(&header_);
      have_ += channel.read_some(header + have_, sizeof header_ - have_);
      if (have_ < sizeof header_) break;
      // The memory for it is taken now, but used only as far as bytes arrive.
      if (header_.size > max_message_ || header_.parts > max_message_ - header_.size) return false;
      if (header_.memories != 0 && !receive_memories(packets)) return false;
      have_ = 0;
      in_body_ = true;
      if (header_.size > largest_small || header_.parts != 0) {
        large_ = detail::large_buffer{body_size()};
      }
    }
    const std::size_t size = body_size();
    // What is there is always taken: a worker may die in the midst of a body, and be buried only when
    // nothing of it is left to read.
    if (!large_ && size != 0 && channel.readable() < size) large_ = detail::large_buffer{size};
    if (!large_) {
      const std::size_t offset = to.bytes.size();
      to.bytes.resize(offset + size);
      channel.read_some(to.bytes.data() + offset, size);
      to.list.push_back({header_, offset, {}, std::exchange(memories_, {})});
    } else {
      have_ += channel.read_some(large_.data() + have_, size - have_);
      if (have_ < size) break;
      to.list.push_back({header_, 0, std::exchange(large_, {}), std::exchange(memories_, {})});
    }
    have_ = 0;
    in_body_ = false;
  }
  return !channel.poisoned();
}

}  // namespace cadre::process
