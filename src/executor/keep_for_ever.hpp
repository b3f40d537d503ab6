// SPDX-License-Identifier: MIT
// What a forked child does with its parent's pools: their threads and workers are the parent's, so
// nothing of them can be touched safely, not even to destroy it.
#pragma once

#include <memory>
#include <utility>

namespace cadre::detail {

/// Where leak checkers find it.
inline void keep_for_ever(std::shared_ptr<void> what) {
  struct kept {
    std::shared_ptr<void> what;
    kept* next;
  };
  static kept* all = nullptr;
  all = new kept{std::move(what), all};
}

}  // namespace cadre::detail
