// SPDX-License-Identifier: MIT
// The explorer's blocking, spinning and yielding: the interface of sync/futex.hpp, as steps.
//
// A sleeper with a deadline may time out at any step. A thread that pauses or yields performs its
// next operation only after another thread has changed something, so that spin loops end.
#pragma once

#include <cadre_model/atomic.hpp>
#include <chrono>
#include <cstdint>

namespace cadre::sync {

using time_point = std::chrono::steady_clock::time_point;
inline constexpr time_point never = time_point::max();

bool futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected,
                time_point deadline = never) noexcept;
void futex_wake(const atomic<std::uint32_t>* word, int count = 1) noexcept;
bool futex_wait_shared(const atomic<std::uint32_t>& word, std::uint32_t expected,
                       time_point deadline = never) noexcept;
void futex_wake_shared(const atomic<std::uint32_t>* word, int count = 1) noexcept;
void pause() noexcept;
inline void pause_for(std::chrono::nanoseconds) noexcept { pause(); }
void yield() noexcept;

}  // namespace cadre::sync
