// SPDX-License-Identifier: MIT
// Other processes for the tests of ipc: copies of this one, made by fork().
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <optional>
#include <span>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "ipc/channel.hpp"
#include "ipc/packet_socket.hpp"
#include "ipc/poller.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {

/// Runs `body` in a child, whose exit code is what it returns, or 99 if it throws. The child does
/// not outlive its owner.
class forked {
 public:
  template <typename Body>
  explicit forked(Body body) : pid_{::fork()} {
    if (pid_ < 0) throw std::system_error{errno, std::system_category(), "fork"};
    if (pid_ == 0) ::_exit(run(body));
  }
  ~forked() {
    if (pid_ == 0) return;
    kill();
    wait();
  }
  forked(const forked&) = delete;
  forked& operator=(const forked&) = delete;

  void kill() const { ::kill(pid_, SIGKILL); }

  /// Its exit code, or minus the signal that ended it.
  int wait() {
    int status = 0;
    ::waitpid(std::exchange(pid_, 0), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  template <typename Body>
  static int run(Body& body) noexcept {
    // No hang outlives the test.
    ::alarm(static_cast<unsigned>(std::chrono::ceil<std::chrono::seconds>(long_time).count()));
    try {
      return body();
    } catch (const std::exception& e) {
      std::fprintf(stderr, "in the child: %s\n", e.what());
      return 99;
    }
  }

  pid_t pid_;
};

/// What one process needs of a channel. The two are made in turn: each opens what the other created.
struct parent_process {
  explicit parent_process(std::size_t ring) : size{ipc::channel_region_size(ring)} {
    poll.add(bell.fd(), 0, ipc::poller::trigger::edge);
  }
  void connect(const ipc::descriptor& handle) {
    theirs = ipc::region::open(handle, size, ipc::region::access::mine);
    end.emplace(ipc::own_half_of(mine.memory), ipc::peer_half_of(theirs));
  }

  /// As worker_end::wait(), without spinning.
  bool wait(ipc::wish w, sync::time_point deadline = sync::never) {
    for (;;) {
      const ipc::arming now = end->arm(w);
      if (now != ipc::arming::armed) return now == ipc::arming::granted;
      ipc::poller::ready found;
      const bool in_time = poll.wait({&found, 1}, deadline) != 0;
      end->disarm();
      if (!in_time) return end->granted(w);
    }
  }

  std::size_t size;
  ipc::created_region mine = ipc::region::create(size, ipc::region::access::mine);
  ipc::region theirs;
  ipc::event bell;
  ipc::poller poll;
  std::optional<ipc::parent_end> end;
};

struct worker_process {
  explicit worker_process(const parent_process& parent)
      : mine{ipc::region::create(parent.size, ipc::region::access::mine)},
        theirs{ipc::region::open(parent.mine.handle, parent.size, ipc::region::access::mine)},
        end{ipc::own_half_of(mine.memory), ipc::peer_half_of(theirs),
            ipc::event{ipc::descriptor{::dup(parent.bell.fd())}}} {}

  bool wait(ipc::wish w, sync::time_point deadline = sync::never) {
    return end.wait(w, deadline, std::chrono::nanoseconds{0});
  }

  ipc::created_region mine;
  ipc::region theirs;
  ipc::worker_end end;
};

/// Both ends in this process, each with its own mappings.
struct both_ends {
  explicit both_ends(std::size_t ring) : parent{ring}, worker{parent} {
    parent.connect(worker.mine.handle);
  }
  parent_process parent;
  worker_process worker;
};

/// A channel to a child that runs `body(worker_process&)`.
class channel_to_child {
 public:
  template <typename Body>
  channel_to_child(std::size_t ring, Body body)
      : parent{ring}, child{[&] {
          worker_process worker{parent};
          tell(worker.mine.handle);
          return body(worker);
        }} {
    parent.connect(told());
  }

  parent_process parent;

 private:
  void tell(const ipc::descriptor& handle) {
    theirs.send(std::as_bytes(std::span{"hello"}), std::array{handle.get()});
  }
  ipc::descriptor told() {
    std::array<std::byte, 16> text;
    return std::move(ours.receive(text).descriptors[0]);
  }

  std::pair<ipc::packet_socket, ipc::packet_socket> ends = ipc::packet_socket::pair();
  ipc::packet_socket& ours = ends.first;
  ipc::packet_socket& theirs = ends.second;

 public:
  forked child;
};

/// As channel_to_child, but the child is the parent: it runs `body(parent_process&)`.
struct channel_from_child : both_ends {
  template <typename Body>
  channel_from_child(std::size_t ring, Body body)
      : both_ends{ring}, child{[&] { return body(parent); }} {}

  forked child;
};

/// Until everything is written; waits for room through `side`.
template <typename Side, typename End>
void write_all(Side& side, End& end, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::size_t written = end.write_some(bytes);
    end.publish();
    if (written == 0 && !side.wait({.room = 1})) throw std::runtime_error{"no room came"};
    bytes = bytes.subspan(written);
  }
}

/// Until `bytes` is full.
template <typename Side, typename End>
void read_all(Side& side, End& end, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const std::size_t read = end.read_some(bytes.data(), bytes.size());
    if (read == 0 && !side.wait({.bytes = 1})) throw std::runtime_error{"no bytes came"};
    bytes = bytes.subspan(read);
  }
}

}  // namespace cadre::test
