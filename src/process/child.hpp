// SPDX-License-Identifier: MIT
// Children of this process, by pidfd: their process ids may be reused at any time, as the program may
// reap them in a wait() of its own.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "ipc/descriptor.hpp"

namespace cadre::process {

struct child_end {
  int signal = 0;
  std::optional<int> exit_code;   // none: by a signal, or not known
  std::uint64_t peak_memory = 0;  // bytes
};

/// "was killed by SIGSEGV", "exited with code 3", or "ended".
std::string describe(const child_end& how);

/// Throws std::system_error.
ipc::descriptor open_pidfd(pid_t child);

void send_signal(int pidfd, int signal) noexcept;

/// Kills the child, if it lives, and reaps it, if nobody did. Blocks until it has ended.
child_end end_child(int pidfd) noexcept;

}  // namespace cadre::process
