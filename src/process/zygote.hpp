// SPDX-License-Identifier: MIT
// The zygote: this program, executed again, with all its static objects initialised and nothing else
// done. It forks workers on request, tells of their deaths, and dies with its parent.
//
//   parent                        zygote                              worker
//                         <-----  hello
//   start_request         ----->  fork
//                                                                     prepares itself
//                         <----------------------------  worker_started | start_failed
//   kill_request          ----->  kill
//                         <-----  worker_ended                        dies
//
// A worker answers through its copy of the zygote's socket, which it closes before its entry runs.
// All messages come from one queue, so a worker's death arrives after its start. Of the zygote, the
// parent believes what it says: it has run no call.
#pragma once

#include "ipc/packet_socket.hpp"

namespace cadre::process {

/// The life of a zygote. `control` is its end of the socket.
[[noreturn]] void run_zygote(ipc::packet_socket control) noexcept;

}  // namespace cadre::process
