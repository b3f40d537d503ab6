// SPDX-License-Identifier: MIT
// The zygote: this program, executed again, with all its static objects initialised and nothing else
// done. It forks workers on request, tells of their deaths, and dies with its parent.
//
//   parent                        zygote                              worker
//   start_request, fds    ----->  fork
//                                                                     prepares itself
//                         <---------------------------------------    started | failed
//   kill                  ----->  kill
//                         <-----  died                                dies
//
// A worker answers through its copy of the zygote's socket, which it closes before its entry runs.
// All messages come from one queue, so a worker's death arrives after its start. Of the zygote, the
// parent believes what it says: it has run no call.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "process/unique_fd.hpp"

namespace cadre::process {

/// The first number of each packet.
enum class message : std::uint64_t {
  start,  // method, then a start_request; descriptors: crash page, then the entry's own
  kill,   // id, signal

  hello,    // protocol: the zygote is ready
  started,  // id, pid
  failed,   // id, sentence
  died,     // id, pid, signal, exit code, peak memory in bytes
};

/// Of hello: tells another version of the library, found by LD_PRELOAD, from this one.
inline constexpr std::uint64_t start_protocol = 0x6361647265303031;

/// The life of a zygote. `control` is its end of the socket.
[[noreturn]] void run_zygote(unique_fd control) noexcept;

}  // namespace cadre::process
