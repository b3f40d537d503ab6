// SPDX-License-Identifier: MIT
// The bytes of one run of a fuzzer, taken one after the other as what the run is to do.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace cadre::test {

class input {
 public:
  input(const std::uint8_t* data, std::size_t size) noexcept
      : rest_{std::as_bytes(std::span{data, size})} {}

  bool empty() const noexcept { return rest_.empty(); }
  /// 0 at the end.
  std::uint8_t byte() noexcept {
    return rest_.empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(take(1)[0]);
  }
  std::uint64_t word() noexcept {
    std::uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value = value << 8 | byte();
    return value;
  }
  /// At most so many.
  std::span<const std::byte> take(std::size_t size) noexcept {
    const auto first = rest_.first(std::min(size, rest_.size()));
    rest_ = rest_.subspan(first.size());
    return first;
  }

 private:
  std::span<const std::byte> rest_;
};

}  // namespace cadre::test
