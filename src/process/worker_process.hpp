// SPDX-License-Identifier: MIT
// What a process does from the moment it was forked or executed as a worker until its entry runs.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>
#include <vector>

#include "process/start_message.hpp"

namespace cadre::process {

/// Where a worker begins. The descriptors are its to close; its result is the exit code.
using worker_entry = int(std::span<const std::byte> argument, std::span<const int> fds);

/// What a zygote runs once; its exceptions become the sentence of start_failed.
using preload_entry = void(std::span<const std::byte> argument);

/// Turns this process into the worker: ties its life to that of `parent`, applies the spec, answers
/// on `control`, runs the entry, and exits. fds[0] is the crash page.
[[noreturn]] void become_worker(const start_request& request, std::vector<ipc::descriptor> fds,
                                ipc::packet_socket control, pid_t parent) noexcept;

/// A worker of its own program image: what it needs waits in `boot`.
[[noreturn]] void run_executed_worker(ipc::packet_socket boot) noexcept;

/// The exit code of a worker whose call ended its thread, by pthread_exit().
inline constexpr int exits_thread_ended = 118;

/// Not counting the sanitizer's.
bool has_one_thread() noexcept;

/// What is buffered would be printed again by every forked worker.
void flush_output() noexcept;
/// For start_method::fork, where it is the program's to print.
void forget_copied_output() noexcept;

/// Ends a worker that has nothing more to do, as a program ends: static objects are destroyed, and
/// functions of atexit() run. Not in a worker that was forked from the program, whose static objects
/// are copies of the program's and may delete its files, nor under AddressSanitizer: there it is
/// end_process().
[[noreturn]] void end_in_good_order(int exit_code) noexcept;

/// Ends a zygote or worker: what was printed appears; static objects are not destroyed.
[[noreturn]] void end_process(int exit_code) noexcept;

}  // namespace cadre::process
