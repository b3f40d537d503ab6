// SPDX-License-Identifier: MIT
// The 32 bits that a submitter leaves in a call: when it was submitted, or where an older one lies.
//
//   bit 0 set     the time of submission, in units of 1.024 us, for a call that is sampled
//   bit 0 clear   how far away, in blocks, the call lies that the same thread submitted some time
//                 before; 0 if that is not known
//
// Whoever walks an inbox waits for one cache line after the other, unless it knows where the next
// ones are: hence the second kind. It is a hint, for prefetching only.
#pragma once

#include <cadre/detail/block.hpp>
#include <cadre/detail/state.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace cadre::detail {

/// Writes the note. On the submitting thread, before the call is queued.
void note_submission(state_base& call) noexcept;

inline bool is_timed(const state_base& call) noexcept { return (call.submit_note & 1) != 0; }

/// Requires is_timed(). Wraps round after 36 minutes.
std::uint64_t ns_since_submission(const state_base& call) noexcept;

inline void prefetch_older(const state_base& call) noexcept {
  if (is_timed(call)) return;
  const auto blocks = static_cast<std::ptrdiff_t>(static_cast<std::int32_t>(call.submit_note) >> 1);
  const auto here = reinterpret_cast<std::intptr_t>(&call);
  const auto there = here + blocks * static_cast<std::ptrdiff_t>(block_alignment);
  __builtin_prefetch(reinterpret_cast<const void*>(there));
}

}  // namespace cadre::detail
