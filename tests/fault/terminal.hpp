// SPDX-License-Identifier: MIT
// A program at a terminal of its own.
#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

namespace cadre::test {

/// Forks the leader of a session, which calls `program(keyboard, screen)`, the two ends of its terminal,
/// and gives its result.
template <typename Program>
int at_a_terminal(Program program) {
  const int keyboard = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  ::grantpt(keyboard);
  ::unlockpt(keyboard);
  const std::string terminal = ::ptsname(keyboard);
  const pid_t leader = ::fork();  // this process leads a group, and can lead no session
  if (leader != 0) {
    int status = 0;
    ::waitpid(leader, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
  }
  ::setsid();
  const int screen = ::open(terminal.c_str(), O_RDWR | O_CLOEXEC);
  ::ioctl(screen, TIOCSCTTY, 0);
  ::_exit(program(keyboard, screen));
}

}  // namespace cadre::test
