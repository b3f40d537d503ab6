// SPDX-License-Identifier: MIT
// large_buffer: memory of 64 KiB and more, of which some is kept when it is freed, for the next one.
//
// A fresh page costs the system as much as copying it three times. Those of a message would all be
// fresh each time: the C library gives blocks of that size back.
//
// Threads    Any: what one frees another one may get.
// Cost       A few exchanges of a word. What is kept is bounded, see large_buffer.cpp, and kept until
//            the process ends.
#pragma once

#include <cstddef>
#include <utility>

namespace cadre::detail {

/// The least that is worth it: below, the C library keeps the pages itself.
inline constexpr std::size_t least_large = std::size_t{64} << 10;

class large_buffer {
 public:
  large_buffer() noexcept = default;
  /// At least `size` bytes, not initialised. Throws std::bad_alloc.
  explicit large_buffer(std::size_t size);
  large_buffer(large_buffer&& other) noexcept
      : data_{std::exchange(other.data_, nullptr)}, capacity_{std::exchange(other.capacity_, 0)} {}
  large_buffer& operator=(large_buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~large_buffer();

  explicit operator bool() const noexcept { return data_ != nullptr; }
  std::byte* data() const noexcept { return data_; }
  std::size_t capacity() const noexcept { return capacity_; }

 private:
  std::byte* data_ = nullptr;
  std::size_t capacity_ = 0;
};

}  // namespace cadre::detail
