// SPDX-License-Identifier: MIT
// The messages between a process, its zygote and their workers while these start: one packet each.
// Nothing here is on the path of a call.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <variant>
#include <vector>

#include "ipc/packet_socket.hpp"
#include "process/child.hpp"
#include "process/module_table.hpp"
#include "process/surroundings.hpp"
#include "process/worker_spec.hpp"

namespace cadre::process {

/// Of hello: tells another version of the library, found by LD_PRELOAD, from this one.
inline constexpr std::uint64_t start_protocol = 0x6361647265303033;

struct hello {  // the zygote is ready
  std::uint64_t protocol = start_protocol;
};

/// What a zygote runs before it forks its first worker.
struct preload_order {
  code_address entry;
  module_description module;  // of the entry
  std::vector<std::byte> argument;
};

/// Descriptors: the crash page, those of the surroundings, then the entry's own.
struct start_request {
  std::uint64_t id = 0;
  process::surroundings surroundings;
  worker_spec spec;
  code_address entry;
  module_description module;  // of the entry
  std::vector<std::byte> argument;
  std::optional<preload_order> preload;  // the same in all requests to one zygote
};

/// Only where the parent has no pidfd of the worker.
struct kill_request {
  std::uint64_t id = 0;
  int signal = 0;
};

struct kill_done {  // the zygote has read the request
  std::uint64_t id = 0;
};

/// From the zygote, as soon as the process is there. Descriptor: its pidfd, if there is one.
struct worker_forked {
  std::uint64_t id = 0;
  pid_t pid = 0;
  bool executed = false;  // so its static objects are initialised first
};

struct worker_started {
  std::uint64_t id = 0;
  pid_t pid = 0;
};

struct start_failed {
  std::uint64_t id = 0;
  std::string why;
  bool passing = false;  // for want of memory, processes or descriptors, which may be had again
  bool zygote_is_useless = false;  // its preload failed: the next start takes another zygote
};

struct worker_ended {
  std::uint64_t id = 0;
  pid_t pid = 0;
  child_end how;
};

using start_message = std::variant<hello, start_request, kill_request, kill_done, worker_forked,
                                   worker_started, start_failed, worker_ended>;

/// The message for what was thrown when a worker was to be started.
start_failed failure_of(std::uint64_t id, const std::exception& error);

/// fork(2) has failed with `error`: says what may help.
std::system_error fork_failed(int error);

struct received_message {
  start_message message;
  std::vector<ipc::descriptor> descriptors;
  bool cut_off = false;  // this process may hold no more descriptors
};

/// The packet. Throws std::system_error if it had more than 64 KiB.
std::vector<std::byte> packet_of(const start_message& message);

/// Blocks while the other side's queue is full. False if the other side is gone. Throws
/// std::system_error.
bool send(ipc::packet_socket& to, const start_message& message,
          std::span<const int> descriptors = {});

/// Blocks until a message comes; none if the other side is gone. Throws std::system_error, and
/// cadre::codec_error for what is no message.
std::optional<received_message> receive(ipc::packet_socket& from);

}  // namespace cadre::process
