// SPDX-License-Identifier: MIT
#include "support/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <map>
#include <ostream>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace cadre::test {
namespace {

constexpr const char* child_flag = "--cadre-child";

std::map<std::string, int (*)()>& child_bodies() {
  static std::map<std::string, int (*)()> bodies;
  return bodies;
}

/// A file descriptor that is closed with its owner.
struct descriptor {
  explicit descriptor(int given) : fd{given} {}
  descriptor(descriptor&& other) noexcept : fd{std::exchange(other.fd, -1)} {}
  ~descriptor() {
    if (fd >= 0) ::close(fd);
  }
  int fd;
};

struct pipe_ends {
  descriptor read, write;
};

pipe_ends make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error{errno, std::system_category()};
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return {descriptor{ends[0]}, descriptor{ends[1]}};
}

/// Starts the program in a process group of its own, so that a time-out can kill its children too.
pid_t start(std::vector<std::string>& command, int out, int err) {
  std::vector<char*> argv;
  for (std::string& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&files, err, STDERR_FILENO);
  posix_spawnattr_t group;
  ::posix_spawnattr_init(&group);
  ::posix_spawnattr_setflags(&group, POSIX_SPAWN_SETPGROUP);
  pid_t pid = 0;
  const int failed = ::posix_spawnp(&pid, argv[0], &files, &group, argv.data(), environ);
  ::posix_spawnattr_destroy(&group);
  ::posix_spawn_file_actions_destroy(&files);
  if (failed != 0) throw std::system_error{failed, std::system_category(), command[0]};
  return pid;
}

/// Appends what there is to read now; false at the end of the file.
bool read_some(int fd, std::string& text) {
  std::array<char, 4096> buffer;
  ssize_t size = 0;
  while ((size = ::read(fd, buffer.data(), buffer.size())) > 0) {
    text.append(buffer.data(), static_cast<std::size_t>(size));
  }
  return size != 0;
}

}  // namespace

ended run_process(std::vector<std::string> command, std::chrono::milliseconds limit) {
  using clock = std::chrono::steady_clock;
  ended result;
  pipe_ends out = make_pipe();
  pipe_ends err = make_pipe();
  const pid_t pid = start(command, out.write.fd, err.write.fd);
  const descriptor exited{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
  std::array<pollfd, 3> events{
      {{out.read.fd, POLLIN, 0}, {err.read.fd, POLLIN, 0}, {exited.fd, POLLIN, 0}}};
  const auto deadline = clock::now() + limit;
  while (events[2].revents == 0) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock::now());
    if (left.count() <= 0 && !result.timed_out) {
      result.timed_out = true;
      ::kill(-pid, SIGKILL);
    }
    ::poll(events.data(), events.size(), result.timed_out ? -1 : static_cast<int>(left.count()));
    // A negative descriptor is ignored by poll: the pipe is at its end.
    if (events[0].revents != 0 && !read_some(out.read.fd, result.out)) events[0].fd = -1;
    if (events[1].revents != 0 && !read_some(err.read.fd, result.err)) events[1].fd = -1;
  }
  read_some(out.read.fd, result.out);
  read_some(err.read.fd, result.err);
  int status = 0;
  ::waitpid(pid, &status, 0);
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
  return result;
}

std::ostream& operator<<(std::ostream& stream, const ended& process) {
  if (process.exit_code) stream << "exited with " << *process.exit_code;
  if (process.signal != 0) stream << "killed by signal " << process.signal;
  if (process.timed_out) stream << " (it took too long)";
  return stream << "\nstdout: " << process.out << "\nstderr: " << process.err;
}

child_program::child_program(std::string name, int (*body)()) : name_{std::move(name)} {
  if (!child_bodies().emplace(name_, body).second) {
    throw std::logic_error{"two child programs are named " + name_};
  }
}

ended child_program::run(std::chrono::milliseconds limit) const {
  return run_process({"/proc/self/exe", child_flag, name_}, limit);
}

std::optional<int> run_as_child(int argc, char** argv) {
  if (argc != 3 || std::string_view{argv[1]} != child_flag) return std::nullopt;
  return child_bodies().at(argv[2])();
}

}  // namespace cadre::test
