// SPDX-License-Identifier: MIT
// scheduling: on which processors a thread may run, and with what precedence.
//
//     const scheduling makers = scheduling::of_this_thread();   // where a pool is made
//     makers.apply();                                           // in the threads that it starts later
//
// A thread inherits these of the one that starts it, which may be anyone who submits a call first.
#pragma once

#include <cstdint>
#include <vector>

namespace cadre {

struct scheduling {
  std::vector<std::uint64_t> cpus = {};  // a bit for each processor; none: not known
  int nice = 0;
  int policy = 0;    // SCHED_OTHER and so on
  int priority = 0;  // of real-time policies

  bool operator==(const scheduling&) const = default;

  /// What a thread that this one starts would have. Cost: 4 system calls.
  static scheduling of_this_thread();

  /// True if the calling thread has less precedence now. Cost: 2 system calls.
  bool precedes_this_thread() const noexcept;

  /// Gives it to the calling thread, as far as the system allows: without rights (CAP_SYS_NICE,
  /// RLIMIT_NICE, RLIMIT_RTPRIO) none is given more precedence than it has. Cost: 4 system calls.
  void apply() const noexcept;
};

}  // namespace cadre
