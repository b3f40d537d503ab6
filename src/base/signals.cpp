// SPDX-License-Identifier: MIT
#include "base/signals.hpp"

#include <pthread.h>

#include <cstring>

namespace cadre {

std::string signal_name(int number) {
  const char* const name = ::sigabbrev_np(number);
  return name != nullptr ? std::string{"SIG"} + name : "signal " + std::to_string(number);
}

sigset_t blocked_signals() noexcept {
  sigset_t present;
  ::sigemptyset(&present);
  ::pthread_sigmask(SIG_SETMASK, nullptr, &present);
  return present;
}

signals_blocked::signals_blocked() noexcept {
  sigset_t blocked;
  ::sigfillset(&blocked);
  for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS}) {
    ::sigdelset(&blocked, fault);
  }
  ::pthread_sigmask(SIG_SETMASK, &blocked, &before_);
}

signals_blocked::~signals_blocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

}  // namespace cadre
