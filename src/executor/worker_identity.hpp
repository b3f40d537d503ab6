// SPDX-License-Identifier: MIT
// What cadre::this_worker tells of the calling thread.
#pragma once

#include <optional>
#include <string_view>

namespace cadre::detail {

struct worker_identity {
  std::optional<unsigned> index;
  std::string_view pool;  // outlives the thread, or is taken back
};

void set_worker_identity(const worker_identity& identity) noexcept;

}  // namespace cadre::detail
