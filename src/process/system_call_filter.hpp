// SPDX-License-Identifier: MIT
// Which system calls this process may make from now on, by a seccomp filter.
#pragma once

#include "process/sandbox.hpp"

namespace cadre::process {

/// True if `sandbox` asks for a filter at all.
bool filters_system_calls(const sandbox_spec& sandbox) noexcept;

/// Installs it for all threads of this process, which must have PR_SET_NO_NEW_PRIVS and whose process
/// id the filter knows. False, with errno, if the kernel refuses. Throws std::runtime_error for a
/// processor whose system calls are not known here.
bool filter_system_calls(const sandbox_spec& sandbox);

}  // namespace cadre::process
