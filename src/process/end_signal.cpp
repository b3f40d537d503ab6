// SPDX-License-Identifier: MIT
#include "process/end_signal.hpp"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cadre/detail/atomic.hpp>

#include <cerrno>

namespace cadre::process {
namespace {

using leave_function = void (*)();

// relaxed, all of them: they are written on the main thread, but for wanted_, which another thread's
// handler sets before it signals the main thread; a signal orders what comes before it.
constinit sync::atomic<bool> ignored_by_program{false};
constinit sync::atomic<bool> wanted{false};
constinit sync::atomic<bool> passed_on{false};  // by a handler on another thread
constinit sync::atomic<leave_function> leave_now{nullptr};
constinit pid_t main_thread = 0;

void end_by(int signal) {
  ::signal(signal, SIG_DFL);
  ::syscall(SYS_tgkill, ::getpid(), ::gettid(), signal);  // comes when the handler returns
}

void on_end_signal(int signal, siginfo_t* info, void*) {
  const int before = errno;
  // relaxed: as above.
  const bool passed = passed_on.exchange(false, std::memory_order_relaxed);
  const bool of_the_pool = info->si_code == SI_QUEUE && info->si_value.sival_int == ends_at_once;
  const bool raised = info->si_code == SI_TKILL && info->si_pid == ::getpid() && !passed;
  if (of_the_pool || raised) return end_by(signal);
  // relaxed: as above.
  if (ignored_by_program.load(std::memory_order_relaxed)) return;
  wanted.store(true, std::memory_order_relaxed);  // relaxed: as above
  if (::gettid() != main_thread) {
    passed_on.store(true, std::memory_order_relaxed);  // relaxed: as above
    ::syscall(SYS_tgkill, ::getpid(), main_thread, signal);
  } else if (const leave_function leave = leave_now.load(std::memory_order_relaxed)) {
    // relaxed: as above. The pool can still end it at once.
    sigset_t pools;
    ::sigemptyset(&pools);
    ::sigaddset(&pools, signal);
    ::pthread_sigmask(SIG_UNBLOCK, &pools, nullptr);
    leave_now.store(nullptr, std::memory_order_relaxed);  // relaxed: as above
    leave();
  }
  errno = before;
}

}  // namespace

void take_end_signal(bool ignored) noexcept {
  // relaxed, all: there is one thread.
  ignored_by_program.store(ignored, std::memory_order_relaxed);
  wanted.store(false, std::memory_order_relaxed);       // relaxed: as above
  passed_on.store(false, std::memory_order_relaxed);    // relaxed: as above
  leave_now.store(nullptr, std::memory_order_relaxed);  // relaxed: as above
  main_thread = ::gettid();
  struct sigaction own {};
  own.sa_sigaction = &on_end_signal;
  own.sa_flags = SA_SIGINFO | SA_RESTART;
  ::sigaction(SIGTERM, &own, nullptr);
}

at_rest::at_rest(void (*leave)()) noexcept {
  leave_now.store(leave, std::memory_order_relaxed);  // relaxed: the handler is on this thread
  // It came before: no handler will.
  if (wanted.load(std::memory_order_relaxed)) leave();  // relaxed: as above
}

at_rest::~at_rest() {
  leave_now.store(nullptr, std::memory_order_relaxed);  // relaxed: the handler is on this thread
}

}  // namespace cadre::process
