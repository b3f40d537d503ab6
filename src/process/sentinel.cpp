// SPDX-License-Identifier: MIT
// Source: credentials(7), setpgid(2).
#include "process/sentinel.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <string_view>
#include <system_error>

#include "ipc/descriptor.hpp"
#include "process/process_status.hpp"

namespace cadre::process {
namespace {

constexpr std::array stop_signals{SIGTSTP, SIGTTIN, SIGTTOU};

[[noreturn]] void be_sentinel(pid_t zygote) noexcept {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != zygote) ::_exit(0);
  ::prctl(PR_SET_NAME, "cadre-sentinel");
  sigset_t blocked;
  ::sigfillset(&blocked);
  for (const int stop : stop_signals) {
    ::signal(stop, SIG_DFL);
    ::sigdelset(&blocked, stop);
  }
  ::sigprocmask(SIG_SETMASK, &blocked, nullptr);
  // Whoever waits for the end of a pipe is not to wait for this process.
  ::close_range(0, UINT_MAX, 0);
  for (;;) ::pause();
}

}  // namespace

pid_t start_sentinel(pid_t program) noexcept {
  const ipc::descriptor terminal{::open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC)};
  const pid_t group = terminal ? ::getpgid(program) : -1;
  if (group <= 0) return 0;
  // What comes before the sentinel is ready to stop is kept for it, though this process ignores it.
  sigset_t stops;
  sigset_t before;
  ::sigemptyset(&stops);
  for (const int stop : stop_signals) ::sigaddset(&stops, stop);
  ::sigprocmask(SIG_BLOCK, &stops, &before);
  const pid_t zygote = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) be_sentinel(zygote);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  if (pid <= 0) return 0;
  if (::setpgid(pid, group) == 0) return pid;
  ::kill(pid, SIGKILL);
  return 0;
}

bool stops(pid_t program, int signal) try {
  const process_status status{program};
  const auto bit = std::uint64_t{1} << static_cast<unsigned>(signal - 1);
  const std::uint64_t kept = status.set("SigIgn").value_or(0) | status.set("SigCgt").value_or(0);
  return signal == SIGSTOP || (kept & bit) == 0;
} catch (const std::system_error&) {
  return true;  // no descriptor is left to look
}

bool is_stopped(pid_t program) try {
  const process_status status{program};
  const std::string_view state = status.field("State");
  return state.empty() || state.starts_with('T');
} catch (const std::system_error&) {
  return true;  // as above
}

}  // namespace cadre::process
