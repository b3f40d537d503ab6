// SPDX-License-Identifier: MIT
#include <cadre/thread_pool_executor.hpp>

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "executor/cgroup_limit.hpp"

namespace cadre {
namespace {

unsigned affinity_limit() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0) {
    if (const int count = CPU_COUNT(&set); count > 0) return static_cast<unsigned>(count);
  }
  return std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace

unsigned usable_cpus() {
  if (const char* text = std::getenv("CADRE_MAX_WORKERS"); text != nullptr) {
    const std::string_view digits{text};
    unsigned count = 0;
    const auto [end, problem] = std::from_chars(digits.begin(), digits.end(), count);
    if (problem == std::errc{} && end == digits.end() && count > 0) return count;
  }
  return std::min(affinity_limit(), detail::cgroup_cpu_limit());
}

}  // namespace cadre
