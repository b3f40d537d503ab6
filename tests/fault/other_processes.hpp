// SPDX-License-Identifier: MIT
// What a test asks of processes that are not its own, by process id.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "ipc/descriptor.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {

/// True once that process is gone, or a zombie that nobody reaps.
inline bool dies(pid_t pid, std::chrono::milliseconds limit = medium_time) {
  const ipc::descriptor watched{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
  pollfd dead{watched.get(), POLLIN, 0};
  return !watched || ::poll(&dead, 1, static_cast<int>(limit.count())) == 1;
}

inline bool lives(pid_t pid) { return !dies(pid, std::chrono::milliseconds{0}); }

/// The letter of proc(5): 'T' if it is stopped, 't' if somebody traces it, 'Z' for a zombie.
inline char state_of_process(pid_t pid) {
  std::ifstream file{"/proc/" + std::to_string(pid) + "/stat"};
  std::string stat;
  std::getline(file, stat);
  const auto name_end = stat.rfind(')');
  return name_end == std::string::npos || stat.size() < name_end + 3 ? '?' : stat[name_end + 2];
}

inline std::vector<pid_t> pids_in(const std::string& text) {
  std::istringstream words{text};
  std::vector<pid_t> all;
  for (pid_t pid = 0; words >> pid;) all.push_back(pid);
  return all;
}

}  // namespace cadre::test
