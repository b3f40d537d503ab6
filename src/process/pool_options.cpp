// SPDX-License-Identifier: MIT
#include "process/pool_options.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>

#include "executor/option.hpp"
#include "process/sandbox.hpp"

namespace cadre::process {
namespace {

constexpr int most_workers = 1000;

// What the largest kernels are built for (CONFIG_NR_CPUS).
constexpr int most_processors = 8192;

// As proc(5) says.
constexpr int most_oom_score_adj = 1000;

[[noreturn]] void refuse(const std::string& what) {
  throw std::invalid_argument{"process_pool: " + what};
}

void require_positive(const std::optional<std::size_t>& value, const std::string& what) {
  if (value == std::size_t{0}) refuse(what + " must be greater than 0, got 0");
}

void require_variable(const std::string& name, const std::string& what) {
  if (name.empty() || name.find_first_of(std::string{'=', '\0'}) != name.npos) {
    refuse(what + " cannot have a variable of the name \"" + name +
           "\": a name is not empty, and has no '=' and no null character");
  }
}

void require_possible_settings(const worker_settings& settings) {
  for (const auto& [name, value] : settings.environment) {
    require_variable(name, "worker.environment");
    if (value.find('\0') != value.npos) {
      refuse("worker.environment cannot have a null character in the value of \"" + name + '"');
    }
  }
  for (const std::string& name : settings.unset_environment) {
    require_variable(name, "worker.unset_environment");
  }
  for (const int cpu : settings.affinity) {
    if (cpu < 0 || cpu >= most_processors) {
      refuse("worker.affinity has CPU numbers between 0 and " +
             std::to_string(most_processors - 1) + ", got " + std::to_string(cpu));
    }
  }
  const int score = settings.oom_score_adj.value_or(0);
  if (score < -most_oom_score_adj || score > most_oom_score_adj) {
    refuse("worker.oom_score_adj must be between -1000 and 1000, got " + std::to_string(score));
  }
}

}  // namespace

unsigned workers_of(const process_pool_options& options) {
  if (!options.max_workers) return std::min<unsigned>(usable_cpus(), most_workers);
  const int n = *options.max_workers;
  if (n > 0 && n <= most_workers) return static_cast<unsigned>(n);
  refuse("max_workers must be between 1 and " + std::to_string(most_workers) + ", got " +
         std::to_string(n));
}

void require_possible_options(const process_pool_options& options) {
  require_positive(options.max_pending, "max_pending");
  require_positive(options.max_pending_bytes, "max_pending_bytes");
  require_positive(options.max_calls_per_worker, "max_calls_per_worker");
  detail::require_not_negative("process_pool", "idle_timeout", options.idle_timeout);
  detail::require_not_negative("process_pool", "end_grace", options.end_grace);
  detail::require_not_negative("process_pool", "initializer_timeout", options.initializer_timeout);
  if (options.preload && options.start_method != start_method::zygote) {
    refuse(
        "preload runs in the zygote, from which workers of other start methods are not forked; use "
        "start_method::zygote, or the initializer, which runs in each worker");
  }
  require_possible_settings(options.worker);
  require_possible_sandbox(options.worker, options.start_method);
  if (options.when_full == when_full::caller_runs) {
    refuse(
        "when_full cannot be caller_runs, since its calls are meant for other processes; use block "
        "or reject");
  }
}

}  // namespace cadre::process
