// SPDX-License-Identifier: MIT
// Signals: their names, and how cadre's own threads stay out of their way.
#pragma once

#include <signal.h>

#include <string>

namespace cadre {

/// "SIGSEGV", or "signal 65" where it has no name.
std::string signal_name(int number);

/// Those of the calling thread.
sigset_t blocked_signals() noexcept;

/// While it lives, this thread takes no signals, nor does a thread that is started by it: they are for
/// the user's threads. Those of faults stay, since a blocked fault would end the process without
/// asking the user's handler.
class signals_blocked {
 public:
  signals_blocked() noexcept;
  ~signals_blocked();
  signals_blocked(const signals_blocked&) = delete;
  signals_blocked& operator=(const signals_blocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace cadre
