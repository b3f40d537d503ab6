// SPDX-License-Identifier: MIT
// Asks for a cache line ahead of time.
#pragma once

namespace cadre::detail {

/// For writing: takes the line away from other processors now, so that neither a read nor the write
/// after it waits. A hint: any address is fine.
inline void prefetch_for_write(const void* address) noexcept {
#if defined(__x86_64__)
  // The builtin does this only where the target is known to have the instruction; processors
  // without it ignore it.
  asm volatile("prefetchw (%0)" : : "r"(address));
#else
  __builtin_prefetch(address, 1);
#endif
}

}  // namespace cadre::detail
