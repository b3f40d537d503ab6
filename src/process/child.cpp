// SPDX-License-Identifier: MIT
#include "process/child.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/signals.hpp"

namespace cadre::process {

std::string describe(const child_end& how) {
  if (how.signal != 0) return "was killed by " + signal_name(how.signal);
  return how.exit_code ? "exited with code " + std::to_string(*how.exit_code) : "ended";
}

ipc::descriptor open_pidfd(pid_t child) {
  return ipc::own(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)),
                  "cadre: cannot watch a process (pidfd_open); raise ulimit -n");
}

void send_signal(int pidfd, int signal) noexcept {
  ::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0);
}

child_end end_child(int pidfd) noexcept {
  send_signal(pidfd, SIGKILL);
  siginfo_t info{};
  rusage used{};
  long result = 0;
  do {
    result = ::syscall(SYS_waitid, P_PIDFD, pidfd, &info, WEXITED, &used);
  } while (result != 0 && errno == EINTR);
  if (result != 0) return {};  // ECHILD: the program reaped it, or ignores SIGCHLD
  child_end end;
  end.peak_memory = static_cast<std::uint64_t>(used.ru_maxrss) << 10U;
  if (info.si_code == CLD_EXITED) {
    end.exit_code = info.si_status;
  } else {
    end.signal = info.si_status;
  }
  return end;
}

}  // namespace cadre::process
