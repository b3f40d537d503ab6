// SPDX-License-Identifier: MIT
// Landlock: which files this thread may open, and whom outside it may reach.
#pragma once

#include <string>
#include <vector>

namespace cadre::process {

struct landlock_rules {
  bool files = false;    // Linux 5.13: only the paths below
  bool tcp = false;      // Linux 6.7: no TCP at all
  bool outside = false;  // Linux 6.12: signals and abstract sockets end at this process
  std::vector<std::string> readable_paths;
  std::vector<std::string> writable_paths;
};

/// The version of the interface that the kernel has: 1 for files, 4 for TCP, 6 for signals. -1, with
/// errno, if it has none.
long landlock_version() noexcept;

/// Applies the rules, which the version must know, to this thread and those that it will start. The
/// process must have PR_SET_NO_NEW_PRIVS. Throws std::runtime_error, which says what was refused.
void apply_landlock(const landlock_rules& rules);

}  // namespace cadre::process
