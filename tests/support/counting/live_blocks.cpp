// SPDX-License-Identifier: MIT
// Counts the blocks of futures and calls in a program that is linked with --wrap for these two functions.
// LeakSanitizer does not see those that are lost: blocks are recycled, and their memory stays known.
#include <atomic>
#include <cstddef>

#include "support/leak_check.hpp"

namespace {

constinit std::atomic<long> live{0};

[[maybe_unused]] const bool counts = [] {
  cadre::test::live_blocks = [] { return live.load(); };
  return true;
}();

}  // namespace

extern "C" {

// NOLINTBEGIN(bugprone-reserved-identifier): the linker's names
void* __real__ZN5cadre6detail14allocate_blockEm(std::size_t size);
void __real__ZN5cadre6detail10free_blockEPvm(void* block, std::size_t size) noexcept;

void* __wrap__ZN5cadre6detail14allocate_blockEm(std::size_t size) {
  void* const block = __real__ZN5cadre6detail14allocate_blockEm(size);
  ++live;
  return block;
}
void __wrap__ZN5cadre6detail10free_blockEPvm(void* block, std::size_t size) noexcept {
  if (block != nullptr) --live;
  __real__ZN5cadre6detail10free_blockEPvm(block, size);
}
// NOLINTEND(bugprone-reserved-identifier)

}  // extern "C"
