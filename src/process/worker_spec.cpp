// SPDX-License-Identifier: MIT
#include "process/worker_spec.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <span>
#include <stdexcept>
#include <system_error>

namespace cadre::process {
namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error{"a worker process could not be given " + what + ": " +
                           std::generic_category().message(errno)};
}

void write(packet_writer& to, const std::optional<std::uint64_t>& value) {
  to.number(value.has_value() ? 1 : 0).number(value.value_or(0));
}

void write(packet_writer& to, const std::optional<int>& value) {
  to.number(value.has_value() ? 1 : 0).number(static_cast<std::uint64_t>(value.value_or(0)));
}

void write(packet_writer& to, const std::vector<int>& values) {
  to.blob(std::as_bytes(std::span{values}));
}

void write(packet_writer& to, const std::vector<std::string>& values) {
  to.number(values.size());
  for (const std::string& value : values) to.text(value);
}

std::optional<std::uint64_t> read_optional(packet_reader& from) {
  const bool present = from.number() != 0;
  const std::uint64_t value = from.number();
  return present ? std::optional{value} : std::nullopt;
}

std::optional<int> read_optional_int(packet_reader& from) {
  const auto value = read_optional(from);
  return value ? std::optional{static_cast<int>(*value)} : std::nullopt;
}

std::vector<int> read_ints(packet_reader& from) {
  packet_reader values{from.blob()};
  std::vector<int> all(values.rest().size() / sizeof(int));
  const auto bytes = values.rest().first(all.size() * sizeof(int));
  std::copy(bytes.begin(), bytes.end(), std::as_writable_bytes(std::span{all}).begin());
  return all;
}

std::vector<std::string> read_texts(packet_reader& from) {
  std::vector<std::string> all;
  for (std::uint64_t left = from.number(); left > 0; --left) all.push_back(from.text());
  return all;
}

void limit(int resource, rlim_t soft, rlim_t hard, const char* what) {
  const rlimit both{soft, hard};
  if (::setrlimit(static_cast<__rlimit_resource_t>(resource), &both) != 0) {
    fail("a limit of " + std::to_string(soft) + ' ' + what);
  }
}

}  // namespace

void write(packet_writer& to, const worker_spec& spec) {
  to.number(static_cast<std::uint64_t>(spec.method));
  to.number(spec.environment.size());
  for (const auto& [name, value] : spec.environment) to.text(name).text(value);
  to.text(spec.working_directory);
  write(to, spec.nice);
  write(to, spec.oom_score_adj);
  write(to, spec.cpus);
  write(to, spec.address_space);
  write(to, spec.cpu_seconds);
  write(to, spec.open_files);
  to.number(spec.sandbox.no_new_privileges ? 1 : 0);
  write(to, spec.sandbox.denied_system_calls);
  to.number(spec.sandbox.restrict_files ? 1 : 0);
  write(to, spec.sandbox.readable_paths);
  write(to, spec.sandbox.writable_paths);
}

worker_spec read_worker_spec(packet_reader& from) {
  worker_spec spec;
  spec.method = static_cast<start_method>(from.number());
  for (std::uint64_t left = from.number(); left > 0; --left) {
    std::string name = from.text();
    spec.environment.emplace_back(std::move(name), from.text());
  }
  spec.working_directory = from.text();
  spec.nice = read_optional_int(from);
  spec.oom_score_adj = read_optional_int(from);
  spec.cpus = read_ints(from);
  spec.address_space = read_optional(from);
  spec.cpu_seconds = read_optional(from);
  spec.open_files = read_optional(from);
  spec.sandbox.no_new_privileges = from.number() != 0;
  spec.sandbox.denied_system_calls = read_ints(from);
  spec.sandbox.restrict_files = from.number() != 0;
  spec.sandbox.readable_paths = read_texts(from);
  spec.sandbox.writable_paths = read_texts(from);
  return spec;
}

void apply_surroundings(const worker_spec& spec) {
  for (const auto& [name, value] : spec.environment) {
    if (::setenv(name.c_str(), value.c_str(), 1) != 0) fail("the variable \"" + name + '"');
  }
  if (!spec.working_directory.empty() && ::chdir(spec.working_directory.c_str()) != 0) {
    fail("the working directory " + spec.working_directory);
  }
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

}  // namespace cadre::process
