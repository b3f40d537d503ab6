// SPDX-License-Identifier: MIT
// sentinel: a process by which a zygote sees that the terminal stops the program, or lets it go on.
//
// The zygote and its workers are in a process group of their own, so that an interrupt from the keyboard
// reaches the program only. So does Ctrl-Z: the workers would run on. The sentinel, a child of the
// zygote, is in the program's group, does nothing, and is stopped with it; waitpid() tells the zygote.
#pragma once

#include <sys/types.h>

namespace cadre::process {

/// Its process id; 0 if the program has no terminal, or there can be none. It ends with this process. A
/// stop of the program before this returns may be missed, a later one is not.
pid_t start_sentinel(pid_t program) noexcept;

/// Whether a signal that stopped the sentinel has stopped the program, too, which may ignore or handle
/// it. SIGSTOP always has.
bool stops(pid_t program, int signal);

/// It is stopped now, or that cannot be known.
bool is_stopped(pid_t program);

}  // namespace cadre::process
