// SPDX-License-Identifier: MIT
// worker_spec: how a worker process starts, and what it may use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/scheduling.hpp"
#include "process/sandbox.hpp"

namespace cadre::process {

enum class start_method : std::uint8_t {
  zygote,  // forked from the zygote: 0.5 ms
  exec,    // executed anew: 1 ms more, and static objects are initialised for each worker
  // Forked from this process, as it is now. A lock that another thread holds at that moment stays
  // locked in the worker for ever. Its memory is shared until written: large tables cost nothing.
  fork,
};

struct worker_spec {
  start_method method = start_method::zygote;
  std::vector<std::pair<std::string, std::string>> environment;  // set on top of the program's own
  std::vector<std::string> unset_environment;                    // of the program's own
  std::string working_directory;                                 // empty: the program's
  std::optional<scheduling> makers_scheduling;                   // of the thread that made the pool
  std::optional<int> nice;
  std::optional<int> oom_score_adj;
  std::vector<int> cpus;                       // empty: all
  std::optional<std::uint64_t> address_space;  // bytes
  std::optional<std::uint64_t> cpu_seconds;
  std::optional<std::uint64_t> open_files;
  sandbox_spec sandbox;
  bool keep_descendants = false;  // of the zygote, too: all its workers have the same
};

/// Each applies its part to this process. Throws std::runtime_error with a sentence.
void apply_settings(const worker_spec& spec);  // environment to cpus
void apply_limits(const worker_spec& spec);    // what must not hinder the preparations

/// Relative paths are the program's: to be called in its directory, before apply_settings() leaves it.
sandbox_spec with_absolute_paths(sandbox_spec spec);

}  // namespace cadre::process
