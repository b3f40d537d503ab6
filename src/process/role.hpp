// SPDX-License-Identifier: MIT
// A process that cadre started from this program's file: its role, and how to start one.
//
// Such a process has the variable CADRE_BOOT = "<role> <descriptor> <diversion> <depth>" in its
// environment, and the descriptor is a SOCK_SEQPACKET socket made by its parent under our user id. Without all of
// these a process is the user's own, whatever its environment says.
#pragma once

#include <sys/types.h>

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
/// pool in a worker of a pool in ...
void require_may_have_workers();

/// In a worker that was forked from the pool's own process: it is one level deeper.
void count_fork() noexcept;

/// For cadre::init(): what the hook would have done before main().
void serve_role_in_main() noexcept;

/// Executes this program again, in a process group of its own if it is to be a zygote, with
/// /dev/null for stdin, default signal handling, and no other descriptor than 0, 1, 2 and `boot`.
/// Returns its process id. Throws cadre::broken_executor. Cost: 1 ms.
pid_t execute_again(role as, int boot);

}  // namespace cadre::process
