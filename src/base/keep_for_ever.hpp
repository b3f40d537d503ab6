// SPDX-License-Identifier: MIT
// What a forked child does with its parent's pools and queues: their threads and workers are the
// parent's, so nothing of them can be touched safely, not even to destroy it.
#pragma once

#include <cadre/detail/atomic.hpp>

#include <memory>
#include <utility>

namespace cadre::detail {

/// Where leak checkers find it. From any thread.
inline void keep_for_ever(std::shared_ptr<void> what) {
  struct kept {
    std::shared_ptr<void> what;
    kept* next;
  };
  static constinit sync::atomic<kept*> all{nullptr};
  // relaxed, all three: nobody reads the list.
  auto* const last = new kept{std::move(what), all.load(std::memory_order_relaxed)};
  while (!all.compare_exchange_weak(last->next, last, std::memory_order_relaxed,
                                    std::memory_order_relaxed)) {
  }
}

}  // namespace cadre::detail
