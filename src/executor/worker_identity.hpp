// SPDX-License-Identifier: MIT
// What cadre::this_worker tells of the calling thread.
#pragma once

#include <cadre/detail/atomic.hpp>

#include <optional>
#include <string_view>

namespace cadre {

class local_executor;

}  // namespace cadre

namespace cadre::detail {

struct worker_identity {
  std::optional<unsigned> index;
  std::string_view pool;                                    // outlives the thread, or is taken back
  const sync::atomic<local_executor*>* executor = nullptr;  // as pool; holds null once that is gone
};

/// Destroys the worker's context object, if it has one. Before its identity is taken back.
void clear_worker_context() noexcept;

void set_worker_identity(const worker_identity& identity) noexcept;

}  // namespace cadre::detail
