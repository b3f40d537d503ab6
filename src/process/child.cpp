// SPDX-License-Identifier: MIT
#include "process/child.hpp"

#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/signals.hpp"
#include "process/end_signal.hpp"

namespace cadre::process {
namespace {

/// As waitid(2) with its fifth argument. EINVAL: this kernel knows no P_PIDFD (before 5.4).
bool is_missing(int error) noexcept {
  return error == ENOSYS || error == EPERM || error == EINVAL || error == EBADF;
}

long wait_for(const process_handle& child, int options, siginfo_t& info, rusage& used) noexcept {
  const auto attempt = [&](idtype_t type, int id) {
    long result = 0;
    do {
      info = {};
      result = ::syscall(SYS_waitid, type, id, &info, options, &used);
    } while (result != 0 && errno == EINTR);
    return result;
  };
  if (child.pidfd) {
    const long result = attempt(P_PIDFD, child.pidfd.get());
    if (result == 0 || !is_missing(errno)) return result;
  }
  return attempt(P_PID, child.pid);
}

child_end end_of(const siginfo_t& info, const rusage& used) noexcept {
  child_end end;
  end.peak_memory = static_cast<std::uint64_t>(used.ru_maxrss) << 10U;
  if (info.si_code == CLD_EXITED) {
    end.exit_code = info.si_status;
  } else {
    end.signal = info.si_status;
  }
  return end;
}

}  // namespace

std::string describe(const child_end& how) {
  if (how.signal != 0) return "was killed by " + signal_name(how.signal);
  return how.exit_code ? "exited with code " + std::to_string(*how.exit_code) : "ended";
}

ipc::descriptor open_pidfd(pid_t process) {
  const long fd = ::syscall(SYS_pidfd_open, process, 0);
  if (fd < 0 && is_missing(errno)) return {};
  return ipc::own(static_cast<int>(fd), "cadre: cannot watch a process (pidfd_open)");
}

bool send_signal(int pidfd, int signal) noexcept {
  siginfo_t marked{};
  marked.si_signo = signal;
  marked.si_code = SI_QUEUE;
  marked.si_pid = ::getpid();
  marked.si_uid = ::getuid();
  marked.si_value.sival_int = ends_at_once;
  return ::syscall(SYS_pidfd_send_signal, pidfd, signal, &marked, 0) == 0 || errno == ESRCH;
}

void signal_with_mark(pid_t process, int signal) noexcept {
  sigval mark{};
  mark.sival_int = ends_at_once;
  ::sigqueue(process, signal, mark);
}

void signal_child(const process_handle& child, int signal) noexcept {
  if (child.pidfd && send_signal(child.pidfd.get(), signal)) return;
  siginfo_t info{};
  rusage used{};
  // Not reaped, so the process id is still the child's.
  const process_handle by_pid{child.pid, {}};
  const bool ours = wait_for(by_pid, WEXITED | WNOHANG | WNOWAIT, info, used) == 0;
  if (ours) signal_with_mark(child.pid, signal);
}

bool reap_child(const process_handle& child, child_end& how) noexcept {
  siginfo_t info{};
  rusage used{};
  if (wait_for(child, WEXITED | WNOHANG, info, used) != 0) return true;  // ECHILD
  if (info.si_pid == 0) return false;
  how = end_of(info, used);
  return true;
}

child_end end_child(const process_handle& child) noexcept {
  signal_child(child, SIGKILL);
  siginfo_t info{};
  rusage used{};
  // ECHILD: the program reaped it, or ignores SIGCHLD.
  return wait_for(child, WEXITED, info, used) == 0 ? end_of(info, used) : child_end{};
}

}  // namespace cadre::process
