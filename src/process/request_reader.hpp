// SPDX-License-Identifier: MIT
// request_reader: the frames that a worker gets from its pool, one after the other.
//
//     request_header request;
//     while (reader.await()) {  // skips what nobody read of the frame before
//       reader.read(request);
//       const auto body = reader.body(request);
//       decoder in{body};
//       detail::apart::receive(in, reader);  // its large parts, as they arrive
//     }
//
// The worker trusts its pool, but not itself to have kept step with it: read() verifies the check of
// each header before anything else of it is used, and then its sizes. See frame.hpp.
//
// Threads    One at a time.
// Errors     stream_error: the bytes are no frame, or the pool's side of the channel is damaged.
#pragma once

#include <cadre/codec.hpp>
#include <cadre/detail/codec_parts.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <string>
#include <utility>

#include "base/large_buffer.hpp"
#include "process/frame.hpp"

namespace cadre::process {

/// `Channel`: a worker_end, but for model tests.
template <typename Channel>
class request_reader : public detail::part_source {
 public:
  // Parts are given back to the pool in pieces up to this size, so that it copies while we do.
  static constexpr std::size_t largest_piece = std::size_t{32} << 10;

  /// `max_message`: what the pool lets a call take.
  request_reader(Channel& channel, std::uint64_t secret, std::uint64_t max_message)
      : channel_{channel},
        checks_{secret},
        max_message_{std::min<std::uint64_t>(max_message, PTRDIFF_MAX)} {}
  request_reader(const request_reader&) = delete;
  request_reader& operator=(const request_reader&) = delete;

  /// Waits for the next frame to begin. False if there can be none: the channel is damaged.
  bool await() {
    skip_rest();
    return !channel_.peek().empty() || channel_.wait({.bytes = 1});
  }

  /// Waits for its header. After await(); before body(), which gives the header's room back.
  void read(request_header& to) {
    ++frame_;
    const auto there = channel_.peek();
    if (there.size() >= sizeof to) {
      std::memcpy(&to, there.data(), sizeof to);
      lent_ = sizeof to;  // to be given back with the body
    } else {
      read(&to, sizeof to);
    }
    if (!checks_.accept(to.check)) {
      fail("is none: its check is wrong, so that bytes of an argument could be taken for orders");
    }
    verify(to);
  }

  /// Waits for what is behind the header, but for the large parts. Empty if there is no memory for
  /// it, which body_lost() says.
  std::span<const std::byte> body(const request_header& of) {
    const auto size = static_cast<std::size_t>(of.size);
    const bool large = size > small_body_.size();
    const auto there = channel_.peek();
    if (!large && of.parts == 0 && lent_ + size <= there.size()) {
      std::memcpy(small_body_.data(), there.data() + lent_, size);
      lent_ += size;
      give_back();
      body_lost_ = false;
      left_ = 0;
      return std::span{small_body_}.first(size);
    }
    give_back();
    body_lost_ = large && size > large_body_.capacity() && !make_large_body(size);
    std::byte* const to = large ? large_body_.data() : small_body_.data();
    body_lost_ ? drop(size) : read(to, size);
    if (of.parts != 0) {
      std::array<std::byte, detail::part_alignment> padding;
      read(padding.data(), detail::padded(size) - size);
    }
    left_ = static_cast<std::size_t>(of.parts);
    return {to, body_lost_ ? 0 : size};
  }
  bool body_lost() const noexcept { return body_lost_; }

  /// Reads what nobody wanted of the parts. Then nothing of this frame is in the channel any more.
  void skip_rest() { skip(left_); }

  // part_source
  std::span<const std::byte> next(std::size_t most, std::size_t unit) override {
    give_back();
    const std::size_t wanted = std::min(most, left_) / unit * unit;
    // Where it lies, if elements can.
    if (channel_.peek().empty()) static_cast<void>(channel_.wait({.bytes = 1}));
    const auto there = channel_.peek();
    const auto address = reinterpret_cast<std::uintptr_t>(there.data());
    std::size_t size = std::min({wanted, there.size(), largest_piece}) / unit * unit;
    if (size != 0 && address % detail::alignment_of_unit(unit) == 0) {
      lent_ = size;
      left_ -= size;
      return there.first(size);
    }
    size = std::min(wanted, sizeof piece_ / unit * unit);
    read(piece_, size);
    left_ -= size;
    return {piece_, size};
  }
  void end_part(std::size_t size) override { skip(detail::padded(size) - size); }
  std::size_t left() const noexcept override { return left_; }

 protected:
  ~request_reader() = default;

 private:
  [[noreturn]] void fail(const char* what) const {
    throw stream_error{"frame " + std::to_string(frame_) + " of its pool " + what};
  }

  void read(void* to, std::size_t size) {
    auto* at = static_cast<std::byte*>(to);
    while (size != 0) {
      const std::size_t got = channel_.read_some(at, size);
      at += got;
      size -= got;
      if (size != 0 && !channel_.wait({.bytes = 1})) {
        fail("is not whole, and the channel is damaged");
      }
    }
  }

  /// Of a header that the pool did write.
  void verify(const request_header& of) const {
    if (of.kind > frame_kind::end) fail("is of no kind that a worker knows");
    if (of.name_size > of.size) fail("has a name that is longer than all of it");
    // What goes before the first call and after the last one is as long as it is.
    const std::uint64_t most =
        of.kind == frame_kind::call ? max_message_ : std::uint64_t{PTRDIFF_MAX};
    if (of.size > most || of.parts > most - of.size) fail("is longer than a message can be");
    if (of.parts != 0 && of.kind != frame_kind::call) fail("has parts that only a call has");
  }

  bool make_large_body(std::size_t size) {
    large_body_ = {};
    try {
      large_body_ = detail::large_buffer{size};
    } catch (const std::bad_alloc&) {
      return false;
    }
    return true;
  }

  void drop(std::size_t size) {
    while (size != 0) {
      const std::size_t piece = std::min(size, small_body_.size());
      read(small_body_.data(), piece);
      size -= piece;
    }
  }

  /// Those that nobody wanted, at most `size` bytes. Nothing stays lent, in particular not the last
  /// piece: a header is read next, perhaps.
  void skip(std::size_t size) {
    for (const std::size_t end = left_ - std::min(size, left_); left_ != end;) next(left_ - end, 1);
    give_back();
  }
  void give_back() noexcept {
    if (lent_ != 0) channel_.consume(std::exchange(lent_, 0));
  }

  Channel& channel_;
  frame_checks checks_;
  std::uint64_t frame_ = 0;  // the present one, from 1
  const std::uint64_t max_message_;
  std::size_t left_ = 0;  // of the parts
  std::size_t lent_ = 0;  // bytes of the channel that were used where they lie: a header, a piece
  bool body_lost_ = false;
  std::array<std::byte, 4096> small_body_;
  detail::large_buffer large_body_;
  alignas(detail::part_alignment) std::byte piece_[std::size_t{16} << 10];
};

}  // namespace cadre::process
