// SPDX-License-Identifier: MIT
// The heap of the model tests. What a schedule frees is overwritten, and given back only at its
// end: until then a use of it is seen, and no new block takes its address.
#include "heap.hpp"

#include <malloc.h>
#include <cadre/detail/block.hpp>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <new>
#include <utility>

#include "explorer.hpp"

namespace cadre_model::heap {
namespace {

// Begin and end of the blocks that the current schedule has freed. On malloc itself, since operator
// new is below.
template <typename T>
struct malloc_allocator {
  using value_type = T;
  malloc_allocator() = default;
  template <typename U>
  malloc_allocator(const malloc_allocator<U>&) noexcept {}
  T* allocate(std::size_t n) { return static_cast<T*>(std::malloc(n * sizeof(T))); }
  void deallocate(T* block, std::size_t) noexcept { std::free(block); }
  friend bool operator==(malloc_allocator, malloc_allocator) { return true; }
};
using range_map = std::map<const std::byte*, const std::byte*, std::less<>,
                           malloc_allocator<std::pair<const std::byte* const, const std::byte*>>>;

bool watching = false;
long live = 0;

range_map& freed() {
  alignas(range_map) static std::byte storage[sizeof(range_map)];
  static auto* const map = ::new (storage) range_map;  // never destroyed: others free at exit
  return *map;
}

void* allocate(std::size_t size, std::size_t alignment) {
  // aligned_alloc wants a multiple of the alignment.
  void* block = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (block == nullptr) throw std::bad_alloc{};
  live += watching;
  return block;
}

void release(void* block) noexcept {
  if (!watching || block == nullptr) return std::free(block);
  check(!is_freed(block), "no block is freed twice");
  --live;
  const std::size_t size = ::malloc_usable_size(block);
  std::memset(block, 0xdd, size);
  auto* begin = static_cast<const std::byte*>(block);
  freed().emplace(begin, begin + size);
}

}  // namespace

void watch() noexcept {
  live = 0;
  watching = true;
}

long unwatch() noexcept {
  watching = false;
  for (auto [begin, end] : freed()) std::free(const_cast<std::byte*>(begin));
  freed().clear();
  return live;
}

unwatched::unwatched() noexcept : before_{std::exchange(watching, false)} {}
unwatched::~unwatched() { watching = before_; }

bool is_freed(const void* address) noexcept {
  const auto* byte = static_cast<const std::byte*>(address);
  auto after = freed().upper_bound(byte);
  return after != freed().begin() && byte < std::prev(after)->second;
}

}  // namespace cadre_model::heap

using cadre_model::heap::allocate;
using cadre_model::heap::release;

void* operator new(std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* block) noexcept { release(block); }
void operator delete(void* block, std::size_t) noexcept { release(block); }
void operator delete(void* block, std::align_val_t) noexcept { release(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { release(block); }

// Instead of the library's cache, which recycles blocks at once.
void* cadre::detail::allocate_block(std::size_t size) {
  return allocate(size, cadre::detail::block_alignment);
}
void cadre::detail::free_block(void* block, std::size_t) noexcept { release(block); }
