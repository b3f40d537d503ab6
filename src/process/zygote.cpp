// SPDX-License-Identifier: MIT
#include "process/zygote.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "process/crash_report.hpp"
#include "process/role.hpp"
#include "process/worker_process.hpp"

namespace cadre::process {
namespace {

class zygote {
 public:
  explicit zygote(unique_fd control) : control_{std::move(control)}, parent_{::getppid()} {
    ::prctl(PR_SET_NAME, "cadre-zygote");
    // If it were ignored, workers would vanish without their exit codes.
    struct sigaction default_action {};
    ::sigaction(SIGCHLD, &default_action, &users_sigchld_);
    parent_fd_ = own_fd(static_cast<int>(::syscall(SYS_pidfd_open, parent_, 0)), "pidfd_open");
    prepare_crash_records();
    flush_output();
  }

  [[noreturn]] void run() {
    send(packet_writer{}.number(static_cast<std::uint64_t>(message::hello)).number(start_protocol));
    for (;;) {
      std::vector<pollfd> events{{control_.get(), POLLIN, 0}, {parent_fd_.get(), POLLIN, 0}};
      for (const child& c : children_) events.push_back({c.fd.get(), POLLIN, 0});
      ::poll(events.data(), events.size(), -1);
      // A copy of the parent's socket in another process must not keep the workers alive.
      if (events[1].revents != 0) end();
      if (events[0].revents != 0) serve();
      for (std::size_t i = events.size(); i-- > 2;) {
        if (events[i].revents != 0) reap(i - 2);
      }
    }
  }

 private:
  struct child {
    std::uint64_t id;
    pid_t pid;
    unique_fd fd;
  };

  void send(const packet_writer& what) {
    if (!send_packet(control_.get(), what.bytes())) end();
  }

  void serve() {
    std::optional<packet> received = receive_packet(control_.get());
    if (!received) end();
    packet_reader from{received->bytes};
    const auto kind = static_cast<message>(from.number());
    if (kind == message::start) start(std::move(*received), from);
    if (kind == message::kill) {
      const std::uint64_t id = from.number();
      const int signal = static_cast<int>(from.number());
      // Not reaped yet, so the process id is still the worker's.
      for (const child& c : children_) {
        if (c.id == id) ::kill(c.pid, signal);
      }
    }
  }

  void start(packet received, packet_reader& from) {
    const start_request request = read_start_request(from);
    try {
      if (received.fds_lost) {
        throw std::system_error{EMFILE, std::generic_category(), "its descriptors did not arrive"};
      }
      // A fork would copy this thread only, and the locks of all others as they are.
      const bool fork = request.spec.method == start_method::zygote && has_one_thread();
      const pid_t pid = fork ? fork_worker(request, received) : execute_worker(received);
      unique_fd exited{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
      children_.push_back({request.id, pid, std::move(exited)});
      if (children_.back().fd) return;
      ::kill(pid, SIGKILL);
      reap(children_.size() - 1);
    } catch (const std::exception& e) {
      send(packet_writer{}
               .number(static_cast<std::uint64_t>(message::failed))
               .number(request.id)
               .text(e.what()));
    }
  }

  pid_t fork_worker(const start_request& request, packet& received) {
    const pid_t here = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) throw std::system_error{errno, std::generic_category(), "fork"};
    if (pid > 0) return pid;
    // dies here: the survivor sees `died` instead of `started`; test
    // unit.sandbox.that_kills_the_worker_at_once_is_reported
    children_.clear();
    parent_fd_.close();
    ::sigaction(SIGCHLD, &users_sigchld_, nullptr);
    become_worker(request, std::move(received.fds), std::move(control_), here);
  }

  pid_t execute_worker(packet& received) {
    const socket_pair boot = make_socket_pair();
    std::vector<int> fds{control_.get()};
    for (const unique_fd& fd : received.fds) fds.push_back(fd.get());
    if (!send_packet(boot.ours.get(), received.bytes, fds)) {
      throw std::system_error{EPIPE, std::generic_category(), "sendmsg"};
    }
    return execute_again(role::worker, boot.theirs.get());
  }

  /// Waits for the child, which has ended or is about to.
  void reap(std::size_t index) {
    const child ended = std::move(children_[index]);
    children_.erase(children_.begin() + static_cast<std::ptrdiff_t>(index));
    int status = 0;
    rusage used{};
    while (::wait4(ended.pid, &status, 0, &used) < 0 && errno == EINTR) continue;
    // dies here: the survivor sees the zygote's own end; test
    // fault.process_start_fault.zygote_killed_is_reported_for_each_worker
    send(packet_writer{}
             .number(static_cast<std::uint64_t>(message::died))
             .number(ended.id)
             .number(static_cast<std::uint64_t>(ended.pid))
             .number(WIFSIGNALED(status) ? static_cast<std::uint64_t>(WTERMSIG(status)) : 0)
             .number(WIFEXITED(status) ? static_cast<std::uint64_t>(WEXITSTATUS(status)) : 0)
             .number(static_cast<std::uint64_t>(used.ru_maxrss) << 10U));
  }

  [[noreturn]] void end() {
    for (const child& c : children_) ::kill(c.pid, SIGKILL);
    for (const child& c : children_) ::waitpid(c.pid, nullptr, 0);
    end_process(0);
  }

  unique_fd control_;
  const pid_t parent_;
  unique_fd parent_fd_;
  struct sigaction users_sigchld_ {};
  std::vector<child> children_;
};

}  // namespace

void run_zygote(unique_fd control) noexcept { zygote{std::move(control)}.run(); }

}  // namespace cadre::process
