// SPDX-License-Identifier: MIT
// The large parts of an encoded value (codec_parts.hpp), on both sides of the way.
//
//     large_parts parts{large_parts::mode::copied};
//     {
//       const parts_beside beside{out, parts};
//       encode(out, value);
//     }
//     parts.for_each_piece(send);  // behind the bytes of the encoder
//
// Threads    One at a time.
#pragma once

#include <cadre/detail/codec_parts.hpp>
#include <cadre/detail/unique_function.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "base/large_buffer.hpp"

namespace cadre::detail {

class large_parts {
 public:
  enum class mode {
    copied,   // what is encoded may change afterwards
    referred  // it stays as it is until the parts were sent, unless apart::passing says otherwise
  };
  large_parts(mode how, attachments* attached) noexcept : mode_{how}, attachments_{attached} {}
  /// `deliver` sends them, while what they refer to is there.
  large_parts(unique_function<void()> deliver, attachments* attached) noexcept
      : mode_{mode::referred}, attachments_{attached}, deliver_{std::move(deliver)} {}

  void add(std::size_t at, const void* data, std::size_t size, bool passing);
  /// Forgets those that were added when the stream had `at` bytes or more.
  void truncate(std::size_t at) noexcept;
  void clear() noexcept { truncate(0); }

  bool empty() const noexcept { return parts_.empty(); }
  /// With padding.
  std::size_t size() const noexcept { return size_; }
  template <typename Function>
  void for_each_piece(Function function) const {
    for (const part& p : parts_) {
      function(p.bytes);
      function(padding(p.bytes.size()));
    }
  }

  /// What follows so many bytes.
  static std::span<const std::byte> padding(std::size_t size) noexcept;

 private:
  struct part {
    std::size_t at;
    std::span<const std::byte> bytes;
    large_buffer copy;  // or none
  };

  friend struct apart;

  mode mode_;
  attachments* attachments_;
  unique_function<void()> deliver_;
  std::vector<part> parts_;
  std::size_t size_ = 0;
};

/// While it lives, the large parts of what is encoded go to `parts`.
class parts_beside {
 public:
  parts_beside(encoder& out, large_parts& parts) noexcept : out_{out} { apart::send(out, &parts); }
  parts_beside(const parts_beside&) = delete;
  parts_beside& operator=(const parts_beside&) = delete;
  ~parts_beside() { apart::send(out_, nullptr); }

 private:
  encoder& out_;
};

/// Parts that lie in memory, one behind the other, or one that has landed.
class parts_in_memory : public part_source {
 public:
  explicit parts_in_memory(std::span<const std::byte> bytes, landing* landed = nullptr) noexcept
      : bytes_{bytes}, landed_{landed} {}

  std::span<const std::byte> next(std::size_t most, std::size_t) override {
    const auto piece = bytes_.first(most);
    bytes_ = bytes_.subspan(most);
    return piece;
  }
  void end_part(std::size_t size) override {
    bytes_ = bytes_.subspan(std::min(bytes_.size(), padded(size) - size));
  }
  std::size_t left() const noexcept override { return bytes_.size(); }
  std::shared_ptr<const void> attached(std::uint64_t) override { return nullptr; }
  landing* landed() noexcept override { return landed_; }

 private:
  std::span<const std::byte> bytes_;
  landing* landed_;
};

}  // namespace cadre::detail
