// SPDX-License-Identifier: MIT
#include "support/leak_check.hpp"

#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

namespace fs = std::filesystem;
using resources = std::map<std::string, std::string>;

void add_threads(resources& found) {
  for (const fs::directory_entry& task : fs::directory_iterator{"/proc/self/task"}) {
    std::string name;
    std::getline(std::ifstream{task.path() / "comm"}, name);
    found.emplace("thread " + task.path().filename().string(), name);
  }
}

void add_descriptors(resources& found) {
  for (const fs::directory_entry& link : fs::directory_iterator{"/proc/self/fd"}) {
    std::error_code gone;  // the iterator's own descriptor
    const fs::path target = fs::read_symlink(link.path(), gone);
    if (gone || target.string().ends_with("/fd")) continue;
    found.emplace("descriptor " + link.path().filename().string(), target.string());
  }
}

void add_children(resources& found) {
  siginfo_t child{};
  const bool any = ::waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) == 0;
  if (any) found.emplace("child process", child.si_pid == 0 ? "running" : "not reaped");
}

/// Memory that was shared with worker processes.
void add_shared_memory(resources& found) {
  std::ifstream maps{"/proc/self/maps"};
  for (std::string line; std::getline(maps, line);) {
    if (line.find("/memfd:") != std::string::npos) found.emplace("memory " + line, "mapped");
  }
}

resources present() {
  resources found;
  add_threads(found);
  add_descriptors(found);
  add_children(found);
  add_shared_memory(found);
  return found;
}

resources left_since(const resources& before) {
  const resources now = present();
  resources left;
  std::set_difference(now.begin(), now.end(), before.begin(), before.end(),
                      std::inserter(left, left.end()),
                      [](const auto& a, const auto& b) { return a.first < b.first; });
  return left;
}

}  // namespace

void leak_check::OnTestStart(const testing::TestInfo&) {
  before_ = present();
  if (live_blocks != nullptr) blocks_before_ = live_blocks();
}

void leak_check::OnTestEnd(const testing::TestInfo&) {
  // A joined thread stays listed until the kernel is done with it.
  const auto deadline = std::chrono::steady_clock::now() + medium_time;
  const auto blocks_left = [&] {
    return live_blocks != nullptr ? live_blocks() - blocks_before_ : 0;
  };
  resources left = left_since(before_);
  while ((!left.empty() || blocks_left() > 0) && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
    left = left_since(before_);
  }
  EXPECT_LE(blocks_left(), 0) << "the test left blocks of futures or calls behind";
  for (const auto& [what, name] : left) {
    ADD_FAILURE() << "the test left behind: " << what << " (" << name << ")";
  }
}

}  // namespace cadre::test
