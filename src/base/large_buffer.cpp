// SPDX-License-Identifier: MIT
#include "base/large_buffer.hpp"

#include <cadre/detail/atomic.hpp>
#include <cadre/detail/codec_parts.hpp>

#include <sys/mman.h>

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace cadre::detail {
namespace {

// More would keep memory that nobody may need again; less would not hold the two or three buffers of
// calls with the largest payloads that are still worth copying.
constexpr std::size_t most_kept = std::size_t{256} << 20;
constexpr std::size_t places = 8;

constexpr std::size_t page = 4096;

/// At the begin of a kept buffer.
struct kept {
  std::size_t capacity;
};

// No lock: a child of fork() finds them as they are.
constinit sync::atomic<kept*> shelf[places]{};
constinit sync::atomic<std::size_t> bytes_kept{0};

/// What fits, but not four times over.
bool suits(const kept& k, std::size_t size) { return k.capacity >= size && k.capacity / 4 <= size; }

bool put_on_shelf(kept* k) noexcept {
  for (auto& place : shelf) {
    kept* none = nullptr;
    // release: pairs with the acquire in take_from_shelf(): the capacity.
    if (place.compare_exchange_strong(none, k, std::memory_order_release,
                                      std::memory_order_relaxed)) {  // relaxed: it is not used
      return true;
    }
  }
  return false;
}

void let_go(kept* k, std::size_t capacity) noexcept {
  bytes_kept.fetch_sub(capacity, std::memory_order_relaxed);  // relaxed: a count
  std::free(k);
}

kept* take_from_shelf(std::size_t size) noexcept {
  for (auto& place : shelf) {
    // relaxed: a look, whether it is worth an exchange.
    if (place.load(std::memory_order_relaxed) == nullptr) continue;
    // acquire: pairs with the release in put_on_shelf().
    kept* const k = place.exchange(nullptr, std::memory_order_acquire);
    if (k == nullptr) continue;
    if (suits(*k, size)) return k;
    if (!put_on_shelf(k)) let_go(k, k->capacity);
  }
  return nullptr;
}

}  // namespace

void advise_huge_pages(const void* data, std::size_t size) noexcept {
  // Below, there would be hardly one that is aligned.
  constexpr std::size_t least = std::size_t{4} << 20;
  if (size < least) return;
  const auto begin = (std::bit_cast<std::uintptr_t>(data) + page - 1) & ~(page - 1);
  const auto end = (std::bit_cast<std::uintptr_t>(data) + size) & ~(page - 1);
  // It may be refused: then they are small.
  static_cast<void>(::madvise(std::bit_cast<void*>(begin), end - begin, MADV_HUGEPAGE));
}

large_buffer::large_buffer(std::size_t size) {
  if (kept* k = take_from_shelf(size)) {
    capacity_ = k->capacity;
    bytes_kept.fetch_sub(capacity_, std::memory_order_relaxed);  // relaxed: a count
    data_ = reinterpret_cast<std::byte*>(k);
    return;
  }
  if (size > SIZE_MAX / 2) throw std::bad_alloc{};
  // Steps of an eighth or less: messages of almost the same size find it again.
  const std::size_t step = std::bit_floor(size | least_large) / 8;
  capacity_ = (size + step - 1) / step * step;
  data_ = static_cast<std::byte*>(std::aligned_alloc(page, capacity_));
  if (data_ == nullptr) throw std::bad_alloc{};
  advise_huge_pages(data_, capacity_);
}

large_buffer::~large_buffer() {
  if (data_ == nullptr) return;
  kept* const k = ::new (data_) kept{capacity_};
  // relaxed: a count. It may be a little too large for a moment, and a buffer be freed for that.
  const std::size_t before = bytes_kept.fetch_add(capacity_, std::memory_order_relaxed);
  if (before + capacity_ > most_kept || !put_on_shelf(k)) let_go(k, capacity_);
}

}  // namespace cadre::detail
