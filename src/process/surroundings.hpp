// SPDX-License-Identifier: MIT
// surroundings: what a worker takes over from the program as it is when the worker starts, whatever the
// zygote that forks it was booted with: working directory, environment, umask, limits, ignored signals.
//
//     surroundings_snapshot here = take_snapshot(status);                 // in the program
//     send(zygote, request with here.values, here.descriptors);
//     adopt(request.surroundings, descriptors);                           // in the worker
//
// What cannot be taken over (users, groups, capabilities, root, namespaces) is process_identity. What
// belongs to a thread (scheduling) is in worker_spec: it is that of the pool's maker.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ipc/descriptor.hpp"
#include "process/process_status.hpp"

namespace cadre::process {

/// Travels in a start_request. As it is made, empty, it changes nothing.
struct surroundings {
  bool has_directory = false;          // the first descriptor; else the worker stays where it is
  bool has_environment = false;        // or it keeps that of the zygote
  std::uint64_t environment_size = 0;  // in the last descriptor; 0: it is here
  std::string environment = {};        // variables, each with a zero byte behind it
  std::optional<std::uint32_t> umask = {};
  std::uint64_t ignored_signals = 0;                      // bit 0: signal 1
  std::vector<std::array<std::uint64_t, 2>> limits = {};  // soft and hard, by RLIMIT_ number

  std::size_t descriptor_count() const noexcept {
    return (has_directory ? 1U : 0U) + (environment_size != 0 ? 1U : 0U);
  }
};

struct surroundings_snapshot {
  static constexpr std::size_t most_descriptors = 2;

  surroundings values;
  std::vector<ipc::descriptor> descriptors;
};

/// Of this process; `status` is of the calling thread. Reads `environ`, as fork() and exec() do: a setenv() in another thread at the same
/// time is a race. Throws std::system_error. Cost: 40 system calls, 30 us.
surroundings_snapshot take_snapshot(const process_status& status);

/// Whether the program ignores that signal.
bool ignores(const surroundings& from, int signal) noexcept;

/// In a worker; of signals all but SIGTERM, which is take_end_signal()'s. Throws std::runtime_error with
/// a sentence.
void adopt(const surroundings& from, std::span<const ipc::descriptor> descriptors);
/// Directory, environment and umask only: in a zygote that executes a worker, whose static objects are
/// initialised before it can adopt anything.
void adopt_place(const surroundings& from, std::span<const ipc::descriptor> descriptors);
/// The rest, which must not hinder the preparations.
void adopt_limits(const surroundings& from);

/// Of this process: soft and hard, by RLIMIT_ number.
std::vector<std::array<std::uint64_t, 2>> present_limits();

/// Of this process.
bool is_ignored(int signal) noexcept;
bool has_handler(int signal) noexcept;

/// In a worker that was forked from the program itself: handlers of the program are not for it, and
/// may write to the program's own pipes. Those of faults stay, which sanitizers and crash records use.
void forget_handlers() noexcept;

}  // namespace cadre::process
