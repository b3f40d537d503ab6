// SPDX-License-Identifier: MIT
// How many processors the control groups of this process allow.
#pragma once

#include <limits>
#include <string>

namespace cadre::detail {

inline constexpr unsigned no_cpu_limit = std::numeric_limits<unsigned>::max();

/// The smallest quota, rounded up, of the process' cgroup (v1 or v2) and all above it. `root` is
/// put before /proc and /sys.
unsigned cgroup_cpu_limit(const std::string& root = {});

}  // namespace cadre::detail
