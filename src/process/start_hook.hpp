// SPDX-License-Identifier: MIT
// How a process that was started as a zygote or worker is diverted from the user's main(), and what
// proves that the next one will be.
//
//   start_hook.cpp   wraps main() through __libc_start_main, where the linker or LD_PRELOAD lets it
//   role.cpp         recognises such a process, and serves its role; cadre::init() does, too
//
// The linker takes start_hook.cpp out of a static library for every program, because each needs a
// __libc_start_main. So it is small, and refers to role.cpp weakly: in a program that has no process
// pool it only passes on. Users of the process pool pull in role.cpp by calling find_diversion().
#pragma once

namespace cadre::process {

// Plain: written while the process has one thread, before main().
extern bool start_hook_ran;

/// Before static objects are initialised: takes note of the role and hides its traces from them.
[[gnu::weak]] void find_role() noexcept;

/// After that: does not return if this process has a role.
[[gnu::weak]] void serve_role() noexcept;

}  // namespace cadre::process
