// SPDX-License-Identifier: MIT
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>

namespace cadre::process {

/// While it lives, this process ends as soon as the other end of the socket is closed or shut down: for one
/// that runs somebody's code meanwhile and cannot look. Takes SIGIO. One at a time. Without effect if that
/// code blocks the signal, or another process has a copy of the other end.
class hangup_watch {
 public:
  explicit hangup_watch(int socket) noexcept {
    watched_ = socket;
    struct sigaction look {};
    look.sa_handler = &end_if_hung_up;
    look.sa_flags = SA_RESTART;
    ::sigaction(SIGIO, &look, nullptr);
    ::fcntl(socket, F_SETOWN, ::getpid());
    ::fcntl(socket, F_SETFL, ::fcntl(socket, F_GETFL) | O_ASYNC);
    end_if_hung_up(SIGIO);  // it may have happened before
  }
  ~hangup_watch() { ::fcntl(watched_, F_SETFL, ::fcntl(watched_, F_GETFL) & ~O_ASYNC); }
  hangup_watch(const hangup_watch&) = delete;
  hangup_watch& operator=(const hangup_watch&) = delete;

 private:
  static void end_if_hung_up(int) {
    const int before = errno;
    pollfd other_end{watched_, 0, 0};
    if (::poll(&other_end, 1, 0) == 1 && (other_end.revents & POLLHUP) != 0) ::_exit(0);
    errno = before;
  }

  inline static int watched_ = -1;
};

}  // namespace cadre::process
