// SPDX-License-Identifier: MIT
#include "ipc/channel.hpp"

#include <bit>
#include <new>
#include <stdexcept>

namespace cadre::ipc {
namespace {

/// Where the ring begins: on a page, so that no line of words and bytes is shared.
constexpr std::size_t ring_offset = 4096;

static_assert(sizeof(side) <= ring_offset);
static_assert(position::is_always_lock_free && sync::atomic<std::uint32_t>::is_always_lock_free,
              "words between processes cannot have a lock");

}  // namespace

std::size_t channel_region_size(std::size_t capacity) {
  if (!std::has_single_bit(capacity)) {
    throw std::invalid_argument{"cadre: the size of a channel's ring must be a power of two"};
  }
  return ring_offset + capacity;
}

own_half own_half_of(const region& mine) noexcept {
  side* const words = ::new (mine.bytes().data()) side;
  return {*words, mine.bytes().subspan(ring_offset)};
}

peer_half peer_half_of(const region& theirs) noexcept {
  const auto* words = reinterpret_cast<const side*>(theirs.bytes().data());
  return {*words, theirs.bytes().subspan(ring_offset)};
}

}  // namespace cadre::ipc
