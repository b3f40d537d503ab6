// SPDX-License-Identifier: MIT
// A process that cadre started from this program's file: its role, and how to start one.
//
// Such a process has the variable CADRE_BOOT = "<role> <descriptor> <diversion> <depth>" in its
// environment; the descriptor is a SOCK_SEQPACKET socket made by its parent under our user id, in which
// a mark waits to be read. With all of these a process takes its role. Without the mark it is the user's
// own, whatever its environment says. With the mark and anything else amiss (AT_SECURE, another user, a
// lost variable) it ends, with an exit code of its own: it never comes to the user's main(), which has
// run already.
#pragma once

#include <sys/types.h>

#include <utility>

#include "ipc/packet_socket.hpp"

namespace cadre::process {

enum class role : char { users = 'u', zygote = 'z', worker = 'w' };

/// What proves that this program, executed again, is diverted from the user's main().
enum class diversion : char {
  none = 'n',
  hook = 'h',     // the start hook ran in this process
  init = 'i',     // cadre::init() was called in this process
  preload = 'p',  // our code is in a shared library, which LD_PRELOAD will load in time
};

/// The first of hook, init and preload that holds. Never `none`: throws cadre::broken_executor,
/// which says what the user can do.
diversion find_diversion();

/// Throws cadre::broken_executor in a process that is to have no workers: a zygote, and a worker of a
/// pool in a worker of a pool in ...; and if a static object `opened_before_role` the pool, in a copy of
/// this program that awaited its role: its threads must not use what the role changes.
void require_may_have_workers(bool opened_before_role);

/// While static objects are initialised in a copy of this program, which has not taken its role yet.
bool awaits_role() noexcept;

/// Of a process that took a role: who executed it. It was the parent, and may be dead by now.
pid_t executor_of_this_process() noexcept;

/// In a worker that was forked from the pool's own process: it is one level deeper.
void count_fork() noexcept;

/// For cadre::init(): what the hook would have done before main().
void serve_role_in_main() noexcept;

/// A pair for execute_again(): ours, and the one for the other process, with the mark in it.
std::pair<ipc::packet_socket, ipc::packet_socket> boot_sockets();

/// Why a process that exited with this code, before it said anything, did not take its role; empty if
/// the code is none of ours.
const char* refusal_of_role(int exit_code) noexcept;

/// Executes this program again, in a process group of its own if it is to be a zygote, with
/// /dev/null for stdin, default signal handling, and no other descriptor than 0, 1, 2 and `boot`, of
/// boot_sockets(). Returns its process id. Throws cadre::broken_executor, also while the effective user
/// or group is not the real one. Cost: 1 ms.
pid_t execute_again(role as, int boot);

}  // namespace cadre::process
