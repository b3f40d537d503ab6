// SPDX-License-Identifier: MIT
// The memory functions of this program, of which the n-th call from now on can be made to fail. All that
// allocates comes through them: operator new, containers, exceptions, threads, the C library itself.
#pragma once

namespace cadre::test {

/// The allocation number `n` fails, from 0, and those behind it as far as `count` says, on whatever
/// thread they are.
void fail_allocations(long n, long count = 1) noexcept;

/// None fails any more. Returns how many there were since fail_allocations().
long allow_allocations() noexcept;

/// Blocks that were allocated and not freed.
long live_blocks() noexcept;

}  // namespace cadre::test
