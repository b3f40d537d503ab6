// SPDX-License-Identifier: MIT
#include "process/worker_spec.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <system_error>

namespace cadre::process {
namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error{"a worker process could not be given " + what + ": " +
                           std::generic_category().message(errno)};
}

void limit(int resource, rlim_t soft, rlim_t hard, const char* what) {
  const rlimit both{soft, hard};
  if (::setrlimit(static_cast<__rlimit_resource_t>(resource), &both) != 0) {
    fail("a limit of " + std::to_string(soft) + ' ' + what);
  }
}

}  // namespace

void apply_settings(const worker_spec& spec) {
  for (const std::string& name : spec.unset_environment) {
    if (::unsetenv(name.c_str()) != 0) fail("an environment without \"" + name + '"');
  }
  for (const auto& [name, value] : spec.environment) {
    if (::setenv(name.c_str(), value.c_str(), 1) != 0) fail("the variable \"" + name + '"');
  }
  if (!spec.working_directory.empty() && ::chdir(spec.working_directory.c_str()) != 0) {
    fail("the working directory " + spec.working_directory);
  }
  if (spec.makers_scheduling) spec.makers_scheduling->apply();
  if (spec.nice && ::setpriority(PRIO_PROCESS, 0, *spec.nice) != 0) {
    fail("the nice value " + std::to_string(*spec.nice));
  }
  if (spec.oom_score_adj) {
    std::ofstream file{"/proc/self/oom_score_adj"};
    file << *spec.oom_score_adj << std::flush;
    if (!file) fail("the oom_score_adj " + std::to_string(*spec.oom_score_adj));
  }
  if (!spec.cpus.empty()) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int cpu : spec.cpus) {
      if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_SET(static_cast<unsigned>(cpu), &set);
    }
    if (::sched_setaffinity(0, sizeof set, &set) != 0) fail("the processors of its list");
  }
}

void apply_limits(const worker_spec& spec) {
  if (spec.open_files) {
    limit(RLIMIT_NOFILE, *spec.open_files, *spec.open_files, "open files");
  }
  if (spec.cpu_seconds) {
    // SIGXCPU first, which says why; SIGKILL for who ignores it.
    limit(RLIMIT_CPU, *spec.cpu_seconds, *spec.cpu_seconds + 1, "seconds of processor time");
  }
  if (spec.address_space) {
    limit(RLIMIT_AS, *spec.address_space, *spec.address_space, "bytes of address space");
  }
}

sandbox_spec with_absolute_paths(sandbox_spec spec) {
  for (auto* paths : {&spec.readable_paths, &spec.writable_paths}) {
    for (std::string& path : *paths) {
      // In a directory that was deleted it stays as it is, and will not be found.
      std::error_code ignored;
      const auto absolute = std::filesystem::absolute(path, ignored);
      if (!ignored) path = absolute.string();
    }
  }
  return spec;
}

}  // namespace cadre::process
