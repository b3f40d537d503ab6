// SPDX-License-Identifier: MIT
// What the benchmarks of worker processes share: workers written by hand, to compare with.
#pragma once

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <boost/interprocess/ipc/message_queue.hpp>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "harness.hpp"

namespace bench {

/// Both ends of a way for bytes: what is written to `in` is read from `out`.
struct one_way {
  int out = -1;
  int in = -1;
};

inline one_way make_pipe() {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) std::exit(EXIT_FAILURE);
  return {ends[0], ends[1]};
}

inline one_way make_socket() {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()) != 0) std::exit(EXIT_FAILURE);
  return {ends[0], ends[1]};
}

inline bool write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto n = write(fd, bytes.data(), bytes.size());
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

inline bool read_all(int fd, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    const auto n = read(fd, bytes.data(), bytes.size());
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

/// Processes forked beforehand, with a way to each and a way back: where it reads, and where it writes.
class forked_workers {
 public:
  /// `serve(in, out)` is what each of them does until it can read no more.
  template <typename Serve>
  forked_workers(int count, one_way (*connect)(), Serve serve) {
    for (int i = 0; i < count; ++i) {
      const one_way there = connect();
      const one_way back = connect();
      if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(there.in);  // or it would never see the end
        close(back.out);
        serve(there.out, back.in);
        _exit(0);
      }
      close(there.out);
      close(back.in);
      each_.push_back({back.out, there.in});
    }
  }
  ~forked_workers() {
    for (const one_way& each : each_) {
      close(each.in);
      close(each.out);
    }
    while (wait(nullptr) > 0) {
    }
  }
  forked_workers(const forked_workers&) = delete;
  forked_workers& operator=(const forked_workers&) = delete;

  /// This process's ends: what it writes to `in`, and what it reads from `out`.
  std::span<const one_way> all() const { return each_; }

 private:
  std::vector<one_way> each_;
};

/// Each of them sends back what it is sent: a length, then so many bytes. This is the least that a program would
/// write for itself.
template <one_way (*Connect)()>
class echo_workers {
 public:
  static constexpr int workers = bench::workers;

  void send(int worker, std::span<const std::byte> body) {
    const std::uint64_t size = body.size();
    const int fd = each_.all()[static_cast<std::size_t>(worker)].in;
    if (body.size() > small) {
      check(write_all(fd, std::as_bytes(std::span{&size, 1})) && write_all(fd, body));
      return;
    }
    std::array<std::byte, sizeof size + small> whole;  // one system call
    std::memcpy(whole.data(), &size, sizeof size);
    std::memcpy(whole.data() + sizeof size, body.data(), body.size());
    check(write_all(fd, std::span{whole}.first(sizeof size + body.size())));
  }
  void receive(int worker, std::span<std::byte> body) {
    check(read_all(each_.all()[static_cast<std::size_t>(worker)].out, body));
  }

 private:
  static constexpr std::size_t small = 1024;

  static void check(bool good) {
    if (!good) std::exit(EXIT_FAILURE);
  }
  static void serve(int in, int out) {
    std::vector<std::byte> body;
    std::uint64_t size = 0;
    while (read_all(in, std::as_writable_bytes(std::span{&size, 1}))) {
      body.resize(size);
      if (!read_all(in, body) || !write_all(out, body)) return;
    }
  }

  forked_workers each_{workers, Connect, &serve};
};

using pipe_workers = echo_workers<&make_pipe>;
using socket_workers = echo_workers<&make_socket>;

/// The same over boost::interprocess::message_queue. A body is cut into messages, which have a
/// largest size; the first one begins with the length of the whole.
class queue_workers {
 public:
  static constexpr int workers = bench::workers;

  queue_workers() {
    for (auto& each : each_) {
      each = {make_queue(), make_queue()};
      if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(*each.there, *each.back);
      }
    }
  }
  ~queue_workers() {
    for (const auto& each : each_) send_all(*each.there, {});  // which ends it
    while (wait(nullptr) > 0) {
    }
  }
  queue_workers(const queue_workers&) = delete;
  queue_workers& operator=(const queue_workers&) = delete;

  void send(int worker, std::span<const std::byte> body) {
    send_all(*each_[static_cast<std::size_t>(worker)].there, body);
  }
  void receive(int worker, std::span<std::byte> body) {
    queue& from = *each_[static_cast<std::size_t>(worker)].back;
    receive_all(from, [&](std::size_t) { return body.data(); });
  }

 private:
  using queue = boost::interprocess::message_queue;
  static constexpr std::size_t most = 64;  // messages in a queue: all calls in flight at worst
  static constexpr std::size_t largest = std::size_t{64} << 10;

  static std::unique_ptr<queue> make_queue() {
    static int made = 0;
    const std::string name =
        "cadre-bench-" + std::to_string(getpid()) + '-' + std::to_string(++made);
    auto q = std::make_unique<queue>(boost::interprocess::create_only, name.c_str(), most, largest);
    queue::remove(name.c_str());  // both processes have it mapped
    return q;
  }

  static void send_all(queue& to, std::span<const std::byte> body) {
    std::array<std::byte, largest> message;
    const std::uint64_t size = body.size();
    std::memcpy(message.data(), &size, sizeof size);
    const auto first = body.first(std::min(body.size(), largest - sizeof size));
    std::memcpy(message.data() + sizeof size, first.data(), first.size());
    to.send(message.data(), sizeof size + first.size(), 0);
    for (body = body.subspan(first.size()); !body.empty();) {
      const auto next = body.first(std::min(body.size(), largest));
      to.send(next.data(), next.size(), 0);
      body = body.subspan(next.size());
    }
  }

  /// `place(size)` says where the body is to go. Returns its size.
  template <typename Place>
  static std::size_t receive_all(queue& from, Place place) {
    std::array<std::byte, largest> message;
    std::size_t got = 0;
    unsigned priority = 0;
    from.receive(message.data(), message.size(), got, priority);
    std::uint64_t size = 0;
    std::memcpy(&size, message.data(), sizeof size);
    std::byte* to = place(size);
    const std::byte* const end = to + size;
    to = std::copy_n(message.data() + sizeof size, got - sizeof size, to);
    while (to != end) {
      from.receive(message.data(), message.size(), got, priority);
      to = std::copy_n(message.data(), got, to);
    }
    return size;
  }

  [[noreturn]] static void serve(queue& in, queue& out) {
    std::vector<std::byte> body;
    const auto place = [&](std::size_t size) {
      body.resize(size);
      return body.data();
    };
    while (receive_all(in, place) != 0) send_all(out, body);
    _exit(0);
  }

  struct two_ways {
    std::unique_ptr<queue> there;
    std::unique_ptr<queue> back;
  };
  std::array<two_ways, workers> each_;
};

/// Runs `call` in a process of its own; how that ended.
template <typename Call>
int forked(Call call) {
  const pid_t child = fork();
  if (child == 0) {
    call();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

}  // namespace bench
