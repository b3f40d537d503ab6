// SPDX-License-Identifier: MIT
// The tasks that most tests of coroutines need.
#pragma once

#include <cadre/coro.hpp>
#include <cadre/thread_pool_executor.hpp>

#include "coro/frames.hpp"

namespace cadre::test {

inline task<int> give(int n, counted = {}) { co_return n; }
inline task<int> await(future<int> f, counted = {}) { co_return co_await f; }

/// Returns once what was queued at the pool of one worker has run, or is suspended.
inline void settle(thread_pool_executor& pool) {
  pool.submit([] {}).get();
}

}  // namespace cadre::test
