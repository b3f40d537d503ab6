// SPDX-License-Identifier: MIT
// What a worker process cannot take back: applied last, right before its entry runs.
#pragma once

#include <cadre/process_pool_executor.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cadre::process {

/// Each field is the option of cadre::worker_settings of that name.
struct sandbox_spec {
  bool strict = false;  // all below, with the limits that are set, and the list of system calls
  cadre::sandbox_gaps gaps = cadre::sandbox_gaps::minor;
  bool no_new_privileges = false;  // implied by whatever the kernel asks it for
  bool new_session = false;
  bool no_capabilities = false;
  bool own_namespaces = false;
  bool isolate_signals = false;
  bool no_network = false;
  bool no_child_processes = false;
  std::vector<int> denied_system_calls;   // each then fails with EPERM
  std::vector<int> allowed_system_calls;  // beside those of `strict`
  bool restrict_files = false;            // only these, and what is open already
  std::vector<std::string> readable_paths;
  std::vector<std::string> writable_paths;
  std::optional<std::uint64_t> processes;  // of the user, in its user namespace
  std::optional<std::uint64_t> core_size;  // bytes, as all that follow
  std::optional<std::uint64_t> file_size;
  std::optional<std::uint64_t> locked_memory;
  std::optional<std::uint64_t> private_memory;  // beyond what there is

  bool operator==(const sandbox_spec&) const = default;
  bool leaves_session() const noexcept { return strict || new_session; }
  bool reads_files() const noexcept { return !readable_paths.empty() || writes_files(); }
  bool writes_files() const noexcept { return !writable_paths.empty(); }
};

/// What these settings ask for. A single shared buffer may have as many bytes as a message.
sandbox_spec sandbox_of(const worker_settings& settings, std::size_t max_message);

/// Throws std::invalid_argument, with a sentence, for what contradicts itself.
void require_possible_sandbox(const worker_settings& settings, cadre::start_method how);

/// Once in a zygote: the workers that it forks are in a session of their own, without a terminal, together.
/// A session for each would be a group for the scheduler, too (autogroup, see sched(7)), which on a busy
/// machine waits long for its first turn.
void begin_session_of_workers() noexcept;

/// Applies it to this process, which has one thread. Throws std::runtime_error with a sentence.
void apply_sandbox(const sandbox_spec& sandbox);

}  // namespace cadre::process
