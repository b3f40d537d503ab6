// SPDX-License-Identifier: MIT
#include "base/large_parts.hpp"

#include <array>
#include <cstring>

namespace cadre::detail {

std::span<const std::byte> large_parts::padding(std::size_t size) noexcept {
  static constexpr std::array<std::byte, part_alignment> zeros{};
  return std::span{zeros}.first(padded(size) - size);
}

void large_parts::add(std::size_t at, const void* data, std::size_t size, bool passing) {
  part p{at, {static_cast<const std::byte*>(data), size}, {}};
  if (passing || mode_ == mode::copied) {
    p.copy = large_buffer{size};
    std::memcpy(p.copy.data(), data, size);
    p.bytes = {p.copy.data(), size};
  }
  parts_.push_back(std::move(p));
  size_ += padded(size);
}

void large_parts::truncate(std::size_t at) noexcept {
  while (!parts_.empty() && parts_.back().at >= at) {
    size_ -= padded(parts_.back().bytes.size());
    parts_.pop_back();
  }
}

bool apart::put_part(encoder& out, std::uint64_t count, const void* data, std::size_t size) {
  if (size > out.limit_) return false;  // which refuses it
  const std::size_t at = out.size();
  out.write(count | apart_bit);
  out.parts_->add(at, data, size, out.passing_ != 0);
  return true;
}

bool apart::can_attach(const encoder& out) noexcept {
  return out.parts_ != nullptr && out.parts_->attachments_ != nullptr;
}

std::optional<std::uint64_t> apart::attach(encoder& out, std::shared_ptr<const void> what) {
  return out.parts_->attachments_->attach(std::move(what));
}

void apart::deliver_parts(encoder& out) {
  if (!out.parts_->empty() && out.parts_->deliver_) out.parts_->deliver_();
}

}  // namespace cadre::detail
