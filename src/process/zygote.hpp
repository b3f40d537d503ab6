// SPDX-License-Identifier: MIT
// The zygote: this program, executed again, with all its static objects initialised and nothing else
// done. It forks workers on request, tells of their deaths, ends what they leave, and dies with its
// parent.
//
//   parent                        zygote                              worker
//                         <-----  hello
//   start_request         ----->  fork
//                         <-----  worker_forked, with a pidfd         prepares itself
//                         <----------------------------  worker_started | start_failed
//   kills by the pidfd                                                dies
//                         <-----  worker_ended
//                                 ends what the worker left
//
// Where there is no pidfd, the parent sends a kill_request, and gets a kill_done when it was read.
// worker_forked and worker_started may come in any order.
//
// All children of the zygote that are not workers are what workers left, but for those that static
// objects of the program had started when it began. (A thread of a static object that starts processes
// in the background does so in the zygote, too, where they are ended.)
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
