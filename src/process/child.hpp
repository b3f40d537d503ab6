// SPDX-License-Identifier: MIT
// Processes that this one started, or was told of, by pidfd where there is one: their process ids may
// be reused at any time, as the program may reap its children in a wait() of its own.
//
// There is none before Linux 5.3, under valgrind 3.19, and where a filter of system calls does not
// know it. Then a process id is used, and only for a child of this process that was not reaped.
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

struct process_handle {
  pid_t pid = 0;
  ipc::descriptor pidfd;  // none: this system has none
};

/// Throws std::system_error; not where the system has no pidfds: then the descriptor is none.
ipc::descriptor open_pidfd(pid_t process);

/// False if it could not be sent by this way; true also if that process has ended.
bool send_signal(int pidfd, int signal) noexcept;

/// All signals of this file carry the mark of end_signal.hpp.
void signal_with_mark(pid_t process, int signal) noexcept;

/// Does nothing if the child was reaped.
void signal_child(const process_handle& child, int signal) noexcept;

/// Reaps the child if it has ended. True if there is nothing more to wait for: it was reaped, by us
/// or by somebody else, or it is no child of this process.
bool reap_child(const process_handle& child, child_end& how) noexcept;

/// Kills the child, if it lives, and reaps it, if nobody did. Blocks until it has ended.
child_end end_child(const process_handle& child) noexcept;

}  // namespace cadre::process
