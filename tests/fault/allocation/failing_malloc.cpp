// SPDX-License-Identifier: MIT
#include "fault/allocation/failing_malloc.hpp"

#include <cadre/detail/block.hpp>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <new>

// What glibc calls its own functions, for programs that replace them.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* block, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void __libc_free(void* block);
}

namespace cadre::test {
namespace {

constinit std::atomic<bool> counting{false};
constinit std::atomic<long> seen{0};
constinit std::atomic<long> first_failing{0};
constinit std::atomic<long> last_failing{0};
constinit std::atomic<long> live{0};

bool is_to_fail() noexcept {
  if (!counting.load()) return false;
  const long number = seen.fetch_add(1);
  if (number < first_failing.load() || number > last_failing.load()) return false;
  errno = ENOMEM;
  return true;
}

template <typename Function>
void* allocate(const Function& function) noexcept {
  if (is_to_fail()) return nullptr;
  void* const block = function();
  if (block != nullptr) live.fetch_add(1);
  return block;
}

}  // namespace

void fail_allocations(long n, long count) noexcept {
  first_failing = n;
  last_failing = n + count - 1;
  seen = 0;
  counting = true;
}

long allow_allocations() noexcept {
  counting = false;
  return seen;
}

long live_blocks() noexcept { return live; }

}  // namespace cadre::test

extern "C" {

void* malloc(std::size_t size) {
  return cadre::test::allocate([=] { return __libc_malloc(size); });
}
void* calloc(std::size_t count, std::size_t size) {
  return cadre::test::allocate([=] { return __libc_calloc(count, size); });
}
void* realloc(void* block, std::size_t size) {
  if (block == nullptr) return malloc(size);
  return cadre::test::is_to_fail() ? nullptr : __libc_realloc(block, size);
}
void* memalign(std::size_t alignment, std::size_t size) {
  return cadre::test::allocate([=] { return __libc_memalign(alignment, size); });
}
void* aligned_alloc(std::size_t alignment, std::size_t size) { return memalign(alignment, size); }
int posix_memalign(void** block, std::size_t alignment, std::size_t size) {
  void* const made = memalign(alignment, size);
  if (made == nullptr) return ENOMEM;
  *block = made;
  return 0;
}
void free(void* block) {
  if (block == nullptr) return;
  cadre::test::live.fetch_sub(1);
  __libc_free(block);
}

// The cache of blocks keeps what it has, so that a block that is lost would not be missed, and does not
// ask for memory each time: the linker puts these in its place.
// NOLINTBEGIN(bugprone-reserved-identifier): what the linker looks for
void* __wrap__ZN5cadre6detail14allocate_blockEm(std::size_t size) {
  void* const block = memalign(cadre::detail::block_alignment, size);
  if (block == nullptr) throw std::bad_alloc{};
  return block;
}
void __wrap__ZN5cadre6detail10free_blockEPvm(void* block, std::size_t) { free(block); }
// NOLINTEND(bugprone-reserved-identifier)

}  // extern "C"
