// SPDX-License-Identifier: MIT
// The system calls by name and number, and what sandbox::strict does with each.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace cadre::process {

/// What becomes of a system call in a strict sandbox. One that is in no list is as `killed`.
enum class verdict : std::uint8_t {
  killed,         // SIGSYS, and the death is told with its name
  allowed,        // a computation needs it, and it reaches nothing outside
  not_permitted,  // EPERM: libraries ask for it and go on without it
  not_there,      // ENOSYS: likewise
  reads_files,    // allowed if there are paths that may be read, which Landlock checks; or EACCES
  writes_files,   // allowed if there are paths that may be written; or EACCES
  to_itself,      // a signal for this very process; or EPERM
  starts_thread,  // clone: no process, no namespace; or SIGSYS
  maps_memory,    // mmap, mprotect: no code; or EPERM
  by_command,     // fcntl, ioctl, prctl: a few of their commands; or EPERM
  reads_limits,   // prlimit64: of itself, and RLIMIT_DATA may be set, as for max_memory; or EPERM
};

struct system_call {
  const char* name;
  int number;
  verdict strict;
};

std::span<const system_call> known_system_calls() noexcept;

/// "socket (41)", or "443" if it has no name here.
std::string describe_system_call(int number);

}  // namespace cadre::process
