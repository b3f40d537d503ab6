// SPDX-License-Identifier: MIT
#include "executor/cgroup_limit.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>

namespace cadre::detail {
namespace {

unsigned processors(double quota, double period) {
  if (quota <= 0 || period <= 0) return no_cpu_limit;
  const double share = quota / period;
  return share >= no_cpu_limit ? no_cpu_limit : std::max(1U, static_cast<unsigned>(share + 0.999));
}

/// "max 100000" or "150000 100000" in cpu.max of a cgroup v2.
unsigned limit_of_v2(const std::string& folder) {
  std::ifstream file{folder + "/cpu.max"};
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max") return no_cpu_limit;
  return processors(std::strtod(quota.c_str(), nullptr), period);
}

unsigned limit_of_v1(const std::string& folder) {
  double quota = 0;
  double period = 0;
  std::ifstream{folder + "/cpu.cfs_quota_us"} >> quota;
  std::ifstream{folder + "/cpu.cfs_period_us"} >> period;
  return processors(quota, period);
}

/// The smallest limit of `path` and all groups above it.
unsigned limit_upwards(const std::string& mount, std::string path,
                       unsigned (*limit_of)(const std::string&)) {
  unsigned limit = limit_of(mount);
  while (path.size() > 1) {
    limit = std::min(limit, limit_of(mount + path));
    path.resize(path.rfind('/'));
  }
  return limit;
}

}  // namespace

unsigned cgroup_cpu_limit(const std::string& root) {
  // Lines such as "0::/user.slice" (v2) or "4:cpu,cpuacct:/docker/1a2b" (v1).
  std::ifstream groups{root + "/proc/self/cgroup"};
  unsigned limit = no_cpu_limit;
  for (std::string line; std::getline(groups, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1).append(",");
    const std::string path = line.substr(second + 1);
    if (controllers == ",,") {
      limit = std::min(limit, limit_upwards(root + "/sys/fs/cgroup", path, &limit_of_v2));
    } else if (controllers.find(",cpu,") != std::string::npos) {
      limit = std::min(limit, limit_upwards(root + "/sys/fs/cgroup/cpu", path, &limit_of_v1));
    }
  }
  return limit;
}

}  // namespace cadre::detail
