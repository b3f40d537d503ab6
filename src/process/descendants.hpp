// SPDX-License-Identifier: MIT
// The processes that workers started: who they are, and how they end.
//
// A worker, and the zygote above it, are subreapers (prctl(2)): a process whose parent has ended comes
// to the nearest one, so that nothing that a worker starts gets out of their sight, whatever it does
// (setsid, double fork). What a worker leaves comes to its zygote, which ends it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <span>
#include <vector>

#include "process/child.hpp"

namespace cadre::process {

/// Orphans from below this process come to it. The kernel has it since 3.4.
void become_subreaper() noexcept;

/// The children of that process that are not reaped; exact if it does not fork or reap meanwhile.
/// Those that are older than `since`, which was made a moment ago, may be left out. Empty without
/// /proc. Cost: some system calls where the kernel lists them (CONFIG_PROC_CHILDREN), else 10 us for
/// each process that was made since then, or if there is no `since`, for each of the system.
std::vector<pid_t> children_of(pid_t parent, std::optional<pid_t> since = std::nullopt);

/// So long the numbers of processes cannot have come round: there are 32,768 at least. Longer: a machine
/// that forks very fast could have used them up; shorter: more workers cost a look at all processes.
inline constexpr std::chrono::milliseconds a_moment{200};

/// Ends a zygote that does not answer, and first all that is below it, which would come to process 1
/// with its death. Blocks for half a second at most; what still lives then stays. The zygote is not
/// reaped.
void end_with_descendants(const process_handle& zygote, std::span<const int> pidfds_of_workers,
                          bool keep_descendants) noexcept;

}  // namespace cadre::process
