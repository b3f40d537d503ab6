// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace cadre::detail {

/// Frames of this thread below it may not call much further. `frame`: one that is live; if it is on
/// no stack that the system knows for this thread, the stack is taken to have 128 KiB more. The first
/// call of a thread makes system calls; on the main thread it reads /proc if the stack's limit is above
/// 128 MiB.
std::uintptr_t end_of_stack(std::uintptr_t frame) noexcept;

}  // namespace cadre::detail
