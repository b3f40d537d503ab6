// SPDX-License-Identifier: MIT
// What the code under test asks of the system, answered by the scheduler: atomics and futexes,
// threads, the steady clock; and what it does to it: crashes.
#pragma once

#include <signal.h>

#include <cstddef>

namespace cadre_model {

class scheduler;

/// While it lives, the calling thread's calls go to `runs`.
class system_takeover {
 public:
  explicit system_takeover(scheduler& runs);
  ~system_takeover();
  system_takeover(const system_takeover&) = delete;
  system_takeover& operator=(const system_takeover&) = delete;

 private:
  static constexpr int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
  struct sigaction before_[sizeof crashes / sizeof *crashes];
};

}  // namespace cadre_model
