// SPDX-License-Identifier: MIT
#include "process/zygote.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <optional>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "process/crash_report.hpp"
#include "process/role.hpp"
#include "process/worker_process.hpp"

namespace cadre::process {
namespace {

class zygote {
 public:
  explicit zygote(ipc::packet_socket control)
      : control_{std::move(control)}, parent_{::getppid()}, parent_fd_{open_pidfd(parent_)} {
    ::prctl(PR_SET_NAME, "cadre-zygote");
    // If it were ignored, workers would vanish without their exit codes.
    struct sigaction default_action {};
    ::sigaction(SIGCHLD, &default_action, &users_sigchld_);
    prepare_crash_records();
    flush_output();
  }

  [[noreturn]] void run() {
    tell(hello{});
    for (;;) {
      std::vector<pollfd> events{{control_.fd(), POLLIN, 0}, {parent_fd_.get(), POLLIN, 0}};
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
    ipc::descriptor fd;
  };

  void tell(const start_message& what) {
    if (!send(control_, what)) end();
  }

  void serve() {
    std::optional<received_message> received = receive(control_);
    if (!received) end();
    if (const auto* request = std::get_if<start_request>(&received->message)) {
      start(*request, *received);
    }
    if (const auto* request = std::get_if<kill_request>(&received->message)) {
      // Not reaped yet, so the process id is still the worker's.
      for (const child& c : children_) {
        if (c.id == request->id) ::kill(c.pid, request->signal);
      }
    }
  }

  void start(const start_request& request, received_message& received) {
    try {
      if (received.cut_off) {
        throw std::system_error{EMFILE, std::generic_category(), "its descriptors did not arrive"};
      }
      // A fork would copy this thread only, and the locks of all others as they are.
      const bool fork = request.spec.method == start_method::zygote && has_one_thread();
      const pid_t pid = fork ? fork_worker(request, received) : execute_worker(request, received);
      children_.push_back({request.id, pid, {}});
      watch_last();
    } catch (const std::exception& e) {
      tell(start_failed{request.id, e.what()});
    }
  }

  /// A child that cannot be watched is ended.
  void watch_last() {
    try {
      children_.back().fd = open_pidfd(children_.back().pid);
    } catch (const std::system_error&) {
      ::kill(children_.back().pid, SIGKILL);
      reap(children_.size() - 1);
    }
  }

  pid_t fork_worker(const start_request& request, received_message& received) {
    const pid_t here = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) throw std::system_error{errno, std::generic_category(), "fork"};
    if (pid > 0) return pid;
    // dies here: the survivor sees worker_ended instead of worker_started; test
    // unit.sandbox.that_kills_the_worker_at_once_is_reported
    children_.clear();
    parent_fd_.reset();
    ::sigaction(SIGCHLD, &users_sigchld_, nullptr);
    become_worker(request, std::move(received.descriptors), std::move(control_), here);
  }

  pid_t execute_worker(const start_request& request, const received_message& received) {
    auto [boot, theirs] = ipc::packet_socket::pair();
    std::vector<int> fds{control_.fd()};
    for (const ipc::descriptor& fd : received.descriptors) fds.push_back(fd.get());
    if (!send(boot, request, fds)) throw std::system_error{EPIPE, std::generic_category(), "send"};
    return execute_again(role::worker, theirs.fd());
  }

  /// Waits for the child, which has ended or is about to.
  void reap(std::size_t index) {
    const child ended = std::move(children_[index]);
    children_.erase(children_.begin() + static_cast<std::ptrdiff_t>(index));
    int status = 0;
    rusage used{};
    while (::wait4(ended.pid, &status, 0, &used) < 0 && errno == EINTR) continue;
    child_end how;
    if (WIFSIGNALED(status)) how.signal = WTERMSIG(status);
    if (WIFEXITED(status)) how.exit_code = WEXITSTATUS(status);
    how.peak_memory = static_cast<std::uint64_t>(used.ru_maxrss) << 10U;
    // dies here: the survivor sees the zygote's own end; test
    // fault.process_start_fault.zygote_killed_is_reported_for_each_worker
    tell(worker_ended{ended.id, ended.pid, how});
  }

  [[noreturn]] void end() {
    for (const child& c : children_) ::kill(c.pid, SIGKILL);
    for (const child& c : children_) ::waitpid(c.pid, nullptr, 0);
    end_process(0);
  }

  ipc::packet_socket control_;
  const pid_t parent_;
  ipc::descriptor parent_fd_;
  struct sigaction users_sigchld_ {};
  std::vector<child> children_;
};

}  // namespace

void run_zygote(ipc::packet_socket control) noexcept { zygote{std::move(control)}.run(); }

}  // namespace cadre::process
