// SPDX-License-Identifier: MIT
// Memory for calls: blocks of whole cache lines, recycled between threads.
//
// A call is made by one thread and often freed by another, which general allocators do slowly.
// Here each thread keeps free blocks of each size and exchanges 254 at a time with a depot that all
// share. Memory is reused, never given back: its peak stays.
#pragma once

#include <cadre/config.hpp>

#include <cstddef>

namespace cadre::detail {

/// A cache line: blocks start on one, so that two calls never share one.
inline constexpr std::size_t block_alignment = 64;

/// `size` bytes, aligned to block_alignment. Throws std::bad_alloc.
/// Cost: 3 ns when the thread has a free block; sizes over 512 bytes go to operator new.
CADRE_API void* allocate_block(std::size_t size);

/// Gives back what allocate_block(size) returned; any thread may.
CADRE_API void free_block(void* block, std::size_t size) noexcept;

}  // namespace cadre::detail
