// SPDX-License-Identifier: MIT
// Source: prctl(2), PR_SET_CHILD_SUBREAPER; proc(5), /proc/pid/task/tid/children and /proc/pid/stat.
#include "process/descendants.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <exception>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>

namespace cadre::process {
namespace {

// Between two looks at what lives: a kill takes effect in microseconds, or after what the process does
// in the kernel.
constexpr int look_again_ms = 5;
// More would hold up the thread that looks; fewer leave a process that forks as fast as it is killed.
constexpr int most_looks = 100;

std::optional<std::string> contents_of(const std::string& path) {
  const ipc::descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!file) return std::nullopt;
  std::string all;
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0) return std::nullopt;
    if (got == 0) return all;
    all.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

/// The numbers that are names in that directory.
std::vector<pid_t> numbers_in(const std::string& directory) {
  std::vector<pid_t> all;
  const std::unique_ptr<DIR, int (*)(DIR*)> open{::opendir(directory.c_str()), &::closedir};
  while (const dirent* entry = open == nullptr ? nullptr : ::readdir(open.get())) {
    const std::string_view name{entry->d_name};
    pid_t number = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), number).ec == std::errc{}) {
      all.push_back(number);
    }
  }
  return all;
}

std::string place_of(pid_t process) {
  // By its own name, as /proc may be of another namespace.
  return "/proc/" + (process == ::getpid() ? std::string{"self"} : std::to_string(process));
}

struct process_state {
  char letter = '?';
  pid_t parent = 0;
};

std::optional<process_state> state_of(pid_t process) {
  const auto stat = contents_of(place_of(process) + "/stat");
  // The name before it may hold anything.
  const std::size_t name_end = stat ? stat->rfind(')') : std::string::npos;
  if (name_end == std::string::npos || stat->size() < name_end + 5) return std::nullopt;
  process_state state{(*stat)[name_end + 2], 0};
  std::from_chars(stat->data() + name_end + 4, stat->data() + stat->size(), state.parent);
  return state;
}

/// None if this kernel does not list them.
std::optional<std::vector<pid_t>> listed_children_of(pid_t parent) {
  const std::string tasks = place_of(parent) + "/task/";
  std::vector<pid_t> all;
  bool any = false;
  for (const pid_t task : numbers_in(tasks)) {
    const auto listed = contents_of(tasks + std::to_string(task) + "/children");
    if (!listed) continue;
    any = true;
    const char* at = listed->data();
    const char* const end = at + listed->size();
    for (pid_t child = 0; at < end;) {
      const auto [next, failed] = std::from_chars(at, end, child);
      if (failed != std::errc{}) break;
      all.push_back(child);
      at = next + 1;
    }
  }
  return any ? std::optional{all} : std::nullopt;
}

/// The numbers that were given to processes and threads after that one, if they are few. The kernel
/// gives them in order.
std::optional<std::vector<pid_t>> made_since(pid_t process) {
  constexpr pid_t few = 100;
  const auto text = contents_of("/proc/sys/kernel/ns_last_pid");
  pid_t last = 0;
  if (!text || std::from_chars(text->data(), text->data() + text->size(), last).ec != std::errc{}) {
    return std::nullopt;
  }
  if (last < process || last - process > few) return std::nullopt;
  std::vector<pid_t> all(static_cast<std::size_t>(last - process));
  std::iota(all.begin(), all.end(), process + 1);
  return all;
}

/// True if it lived.
bool kill_child_of(pid_t parent, pid_t child) {
  const ipc::descriptor pidfd = open_pidfd(child);
  // From here on it is known which process that is; before, the process id may have been reused. The
  // parent is stopped and does not reap, so without a pidfd it cannot.
  const auto state = state_of(child);
  if (!state || state->parent != parent || state->letter == 'Z' || state->letter == 'X')
    return false;
  if (!pidfd || !send_signal(pidfd.get(), SIGKILL)) ::kill(child, SIGKILL);
  return true;
}

/// Kills the children of a stopped process, and looks again until it finds only those that it knew to be
/// dead before it looked: until a process has died, its own children may come.
class child_killer {
 public:
  explicit child_killer(pid_t parent) : parent_{parent} {}

  /// False if there is nothing left to kill.
  bool look() noexcept {
    bool any = false;
    try {
      for (const pid_t child : children_of(parent_)) {
        if (std::find(dead_.begin(), dead_.end(), child) != dead_.end()) continue;
        any = true;
        try {
          if (!kill_child_of(parent_, child)) dead_.push_back(child);
        } catch (const std::exception&) {
          // There is no descriptor for it, or it has just ended: the next look shows which.
        }
      }
    } catch (const std::exception&) {
      return true;  // no memory
    }
    return any;
  }

 private:
  const pid_t parent_;
  std::vector<pid_t> dead_;  // stay dead, as the parent is stopped and does not reap
};

}  // namespace

void become_subreaper() noexcept { ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

std::vector<pid_t> children_of(pid_t parent, std::optional<pid_t> since) {
  if (auto listed = listed_children_of(parent)) return *std::move(listed);
  std::vector<pid_t> all;
  const auto young = since ? made_since(*since) : std::nullopt;
  for (const pid_t process : young ? *young : numbers_in("/proc")) {
    const auto state = state_of(process);
    if (state && state->parent == parent) all.push_back(process);
  }
  return all;
}

void end_with_descendants(const process_handle& zygote, std::span<const int> pidfds_of_workers,
                          bool keep_descendants) noexcept {
  signal_child(zygote, SIGSTOP);
  for (const int pidfd : pidfds_of_workers) send_signal(pidfd, SIGKILL);
  if (!keep_descendants) {
    child_killer children{zygote.pid};
    for (int look = 0; look < most_looks && children.look(); ++look) {
      ::poll(nullptr, 0, look_again_ms);
    }
  }
  signal_child(zygote, SIGKILL);
}

}  // namespace cadre::process
