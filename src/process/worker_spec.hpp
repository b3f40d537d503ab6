// SPDX-License-Identifier: MIT
// worker_spec: how a worker process starts, and what it may use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cadre::process {

enum class start_method : std::uint8_t {
  zygote,  // forked from the zygote: 0.2 ms
  exec,    // executed anew: 1 ms more, and static objects are initialised for each worker
  // Forked from this process, as it is now. A lock that another thread holds at that moment stays
  // locked in the worker for ever. Its memory is shared until written: large tables cost nothing.
  fork,
};

/// What a worker cannot take back. Applied last, right before its entry runs.
struct sandbox_spec {
  bool no_new_privileges = false;        // implied by the other two
  std::vector<int> denied_system_calls;  // each then fails with EPERM
  bool restrict_files = false;           // Landlock: only these, and what is open already
  std::vector<std::string> readable_paths;
  std::vector<std::string> writable_paths;
};

struct worker_spec {
  start_method method = start_method::zygote;
  std::vector<std::pair<std::string, std::string>> environment;  // set on top of the program's own
  std::string working_directory;                                 // empty: the program's
  std::optional<int> nice;
  std::optional<int> oom_score_adj;
  std::vector<int> cpus;                       // empty: all
  std::optional<std::uint64_t> address_space;  // bytes
  std::optional<std::uint64_t> cpu_seconds;
  std::optional<std::uint64_t> open_files;
  sandbox_spec sandbox;
};

/// Each applies its part to this process. Throws std::runtime_error with a sentence.
void apply_surroundings(const worker_spec& spec);  // environment to cpus
void apply_limits(const worker_spec& spec);        // what must not hinder the preparations
void apply_sandbox(const sandbox_spec& sandbox);

}  // namespace cadre::process
