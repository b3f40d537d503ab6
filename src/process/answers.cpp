// SPDX-License-Identifier: MIT
#include "process/answers.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
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
  if (header_.packets > most_memories) return false;
  for (std::uint32_t i = 0; i < header_.packets; ++i) {
    received_memory memory;
    auto packet = packets.receive(std::as_writable_bytes(std::span{&memory.what, 1}),
                                  ipc::packet_socket::mode::dont_wait);
    if (packet.result != ipc::packet_socket::outcome::done || packet.size != sizeof memory.what ||
        memory.what.kind != packet_kind::memory) {
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

/// Whether a worker can have meant the header. The check comes first: of one that is wrong, nothing else
/// is used.
bool answer_reader::is_possible() const noexcept {
  const bool has_value = header_.kind == frame_kind::value;
  const bool has_body = has_value || header_.kind == frame_kind::error;
  if (!has_body && (header_.kind != frame_kind::skipped || header_.size != 0)) return false;
  if (!has_value && (header_.parts != 0 || header_.packets != 0)) return false;
  return header_.size <= max_message_ && header_.parts <= max_message_ - header_.size;
}

/// After the header. False if it says what cannot be.
bool answer_reader::begin_body(ipc::packet_socket& packets) {
  if (!checks_.accept(header_.check) || !is_possible()) return false;
  if (header_.packets != 0 && !receive_memories(packets)) return false;
  have_ = 0;
  const bool is_one_part = header_.kind == frame_kind::value && header_.parts != 0 &&
                           header_.size == sizeof(std::uint64_t);
  now_ = is_one_part ? stage::asking : stage::body;
  return true;
}

/// False if it is not there yet.
bool answer_reader::read_word(ipc::parent_end& channel) {
  constexpr std::size_t size = detail::part_alignment;  // with its padding
  have_ += channel.read_some(buffer_.data() + have_, size - have_);
  if (have_ < size) return false;
  std::uint64_t word = 0;
  std::memcpy(&word, buffer_.data(), sizeof word);
  landing_ = land_(word, static_cast<std::size_t>(header_.parts));
  if (landing_) {
    padding_ = static_cast<std::size_t>(header_.parts) - landing_->left();
    word_ = word;
    have_ = 0;
    now_ = stage::parts;
  } else {
    large_ = detail::large_buffer{body_size()};
    std::memcpy(large_.data(), buffer_.data(), size);
    now_ = stage::body;
  }
  return true;
}

/// False if not all of them are there. All that is there is taken.
bool answer_reader::read_parts(ipc::parent_end& channel, answers& to) {
  detail::landing& at = *landing_;
  const std::size_t unit = at.unit();
  while (at.left() != 0) {
    const auto there = channel.peek();
    if (there.empty()) return false;
    const auto address = reinterpret_cast<std::uintptr_t>(there.data());
    if (have_ == 0 && there.size() >= unit && address % detail::alignment_of_unit(unit) == 0) {
      const auto whole = there.first(std::min({there.size(), at.left(), piece}) / unit * unit);
      at.append(whole);
      channel.consume(whole.size());
    } else {
      const std::size_t most = std::min(at.left(), buffer_.size() / unit * unit);
      have_ += channel.read_some(buffer_.data() + have_, most - have_);
      const std::size_t whole = have_ / unit * unit;
      at.append(std::span{buffer_}.first(whole));
      have_ -= whole;
      std::memmove(buffer_.data(), buffer_.data() + whole, have_);
    }
  }
  have_ += channel.read_some(buffer_.data() + have_, padding_ - have_);
  if (have_ < padding_) return false;
  const std::size_t offset = to.bytes.size();
  to.bytes.resize(offset + sizeof word_);
  std::memcpy(to.bytes.data() + offset, &word_, sizeof word_);
  to.list.push_back(
      {header_, offset, {}, std::exchange(memories_, {}), std::exchange(landing_, nullptr)});
  return true;
}

/// False if not all of it is there.
bool answer_reader::read_body(ipc::parent_end& channel, answers& to) {
  const std::size_t size = body_size();
  // The memory for it is taken now, but used only as far as bytes arrive. What is there is always
  // taken: a worker may die in the midst of a body, and be buried only when nothing of it is left to
  // read.
  if (!large_ && (header_.size > largest_small || header_.parts != 0 ||
                  (size != 0 && channel.readable() < size))) {
    large_ = detail::large_buffer{size};
  }
  if (!large_) {
    const std::size_t offset = to.bytes.size();
    to.bytes.resize(offset + size);
    channel.read_some(to.bytes.data() + offset, size);
    to.list.push_back({header_, offset, {}, std::exchange(memories_, {}), {}});
    return true;
  }
  have_ += channel.read_some(large_.data() + have_, size - have_);
  if (have_ < size) return false;
  to.list.push_back({header_, 0, std::exchange(large_, {}), std::exchange(memories_, {}), {}});
  return true;
}

/// As most are: small, there as a whole, in one piece. False if the next one is not, and nothing was taken.
bool answer_reader::read_small(ipc::parent_end& channel, answers& to) {
  const auto there = channel.peek();
  if (there.size() < sizeof header_) return false;
  std::memcpy(&header_, there.data(), sizeof header_);
  const std::size_t room = std::min(there.size() - sizeof header_, largest_small);
  if (header_.check != checks_.next() || !is_possible() || header_.size > room ||
      header_.parts != 0 || header_.packets != 0) {
    return false;
  }
  const auto body = there.subspan(sizeof header_, static_cast<std::size_t>(header_.size));
  const std::size_t offset = to.bytes.size();
  to.bytes.insert(to.bytes.end(), body.begin(), body.end());
  answer& a = to.list.emplace_back();  // last: without memory for its bytes there is no answer
  a.header = header_;
  a.offset = offset;
  channel.consume(sizeof header_ + body.size());
  checks_.advance();
  return true;
}

bool answer_reader::read(ipc::parent_end& channel, ipc::packet_socket& packets, answers& to,
                         std::size_t most) {
  while (to.list.size() < most) {
    if (now_ == stage::header) {
      if (have_ == 0 && read_small(channel, to)) continue;
      auto* header = reinterpret_cast<std::byte*>(&header_);
      have_ += channel.read_some(header + have_, sizeof header_ - have_);
      if (have_ < sizeof header_) break;
      if (!begin_body(packets)) return false;
    }
    if (now_ == stage::asking) break;
    if (now_ == stage::word && !read_word(channel)) break;
    if (now_ == stage::parts && !read_parts(channel, to)) break;
    if (now_ == stage::body && !read_body(channel, to)) break;
    have_ = 0;
    now_ = stage::header;
  }
  return !channel.poisoned();
}

}  // namespace cadre::process
