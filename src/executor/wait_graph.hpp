// SPDX-License-Identifier: MIT
// Who waits for whom, among calls that block on workers: finds waits that can never end.
//
// A worker that is about to block without a time limit says which states it waits for, all of
// them, and which calls are on its stack. If one of those states is on its own stack, or on the
// stack of a worker that is blocked on ... on its own stack, the circle is closed. Its last member
// to arrive finds that out; the others are asleep and cannot change it. One graph serves all pools.
#pragma once

#include <cadre/detail/state.hpp>

#include <cstddef>

namespace cadre::detail {

/// A call that runs on this thread, and the one that it interrupted by waiting.
struct call_frame {
  const state_base* call;
  const call_frame* caller;
};

/// One blocked worker.
struct blocked_worker {
  const call_frame* stack;
  state_base* const* awaited;
  std::size_t count;
  blocked_worker* next = nullptr;
};

/// Throws deadlock_error if `worker` would never wake up; else remembers it until forget_blocked().
void remember_blocked(blocked_worker& worker);
void forget_blocked(blocked_worker& worker) noexcept;

/// True if `worker` awaits, directly or through others that are blocked, a call of `pool` that nobody has begun.
bool awaits_pending(const blocked_worker& worker, const call_owner& pool);

}  // namespace cadre::detail
