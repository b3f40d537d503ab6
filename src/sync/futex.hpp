// SPDX-License-Identifier: MIT
// Blocking, spinning and yielding: the only calls through which cadre's threads wait.
//
// Preset `model` replaces them, as it replaces atomics, by steps of the schedule explorer.
#pragma once

#include <cadre/detail/atomic.hpp>
#include <chrono>
#include <cstdint>

#ifdef CADRE_MODEL
#include <cadre_model/futex.hpp>  // IWYU pragma: export
#else

namespace cadre::sync {

using time_point = std::chrono::steady_clock::time_point;

/// "No deadline": waits for ever.
inline constexpr time_point never = time_point::max();

/// Sleeps while `word` holds `expected`, until a wake, the deadline or a spurious return: callers
/// loop on their own predicate. Returns false when the deadline passed. Source: futex(2).
bool futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected,
                time_point deadline = never) noexcept;

/// Wakes at most `count` threads that sleep on `word`. The word may be gone already: only its
/// address is used. Cost: a system call, also with nobody asleep.
void futex_wake(const atomic<std::uint32_t>* word, int count = 1) noexcept;

/// The same two for a word in memory that processes share. The sleeper's mapping may be read-only.
bool futex_wait_shared(const atomic<std::uint32_t>& word, std::uint32_t expected,
                       time_point deadline = never) noexcept;
void futex_wake_shared(const atomic<std::uint32_t>* word, int count = 1) noexcept;

/// Tells the processor that this is a spin loop. About 40 cycles on x86.
inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

/// Stays on this processor for about so long, and touches no memory that others do.
inline void pause_for(std::chrono::nanoseconds time) noexcept {
  const auto end = std::chrono::steady_clock::now() + time;
  do {
    pause();
  } while (std::chrono::steady_clock::now() < end);
}

/// Lets another thread of this processor run. A system call.
void yield() noexcept;

}  // namespace cadre::sync
#endif
