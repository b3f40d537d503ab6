// SPDX-License-Identifier: MIT
#include "executor/cgroup_limit.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace cadre::detail {
namespace {

/// A root directory with the given files, gone at the end.
class file_tree {
 public:
  file_tree() {
    std::string pattern = testing::TempDir() + "cadre-XXXXXX";
    root_ = ::mkdtemp(pattern.data());
  }
  ~file_tree() { std::filesystem::remove_all(root_); }

  file_tree& add(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path{root_ + path}.parent_path());
    std::ofstream{root_ + path} << text;
    return *this;
  }
  unsigned limit() const { return cgroup_cpu_limit(root_); }

 private:
  std::string root_;
};

TEST(cgroup_limit, without_groups_there_is_none) { EXPECT_EQ(file_tree{}.limit(), no_cpu_limit); }

TEST(cgroup_limit, of_v2_is_rounded_up) {
  file_tree tree;
  tree.add("/proc/self/cgroup", "0::/jobs/7\n");
  tree.add("/sys/fs/cgroup/jobs/7/cpu.max", "150000 100000\n");

  EXPECT_EQ(tree.limit(), 2U);
}

TEST(cgroup_limit, max_is_no_limit) {
  file_tree tree;
  tree.add("/proc/self/cgroup", "0::/jobs\n");
  tree.add("/sys/fs/cgroup/jobs/cpu.max", "max 100000\n");

  EXPECT_EQ(tree.limit(), no_cpu_limit);
}

TEST(cgroup_limit, a_group_above_limits_those_below) {
  file_tree tree;
  tree.add("/proc/self/cgroup", "0::/jobs/7\n");
  tree.add("/sys/fs/cgroup/jobs/cpu.max", "100000 100000\n");
  tree.add("/sys/fs/cgroup/jobs/7/cpu.max", "800000 100000\n");

  EXPECT_EQ(tree.limit(), 1U);
}

TEST(cgroup_limit, of_v1_is_found_among_other_controllers) {
  file_tree tree;
  tree.add("/proc/self/cgroup", "9:memory:/box\n4:cpu,cpuacct:/box\n");
  tree.add("/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "300000\n");
  tree.add("/sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n");

  EXPECT_EQ(tree.limit(), 3U);
}

TEST(cgroup_limit, a_v1_quota_of_minus_one_is_no_limit) {
  file_tree tree;
  tree.add("/proc/self/cgroup", "4:cpu:/box\n");
  tree.add("/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "-1\n");
  tree.add("/sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n");

  EXPECT_EQ(tree.limit(), no_cpu_limit);
}

}  // namespace
}  // namespace cadre::detail
