// SPDX-License-Identifier: MIT
// What a worker uses of memory, and a limit of it for one call.
#pragma once

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <stdexcept>

namespace cadre::process {

/// Sizes of this process, in bytes.
struct memory_use {
  std::uint64_t resident = 0;
  std::uint64_t data = 0;

  static memory_use now() {
    std::ifstream statm{"/proc/self/statm"};
    std::array<std::uint64_t, 6> pages{};  // size resident shared text lib data
    for (auto& p : pages) statm >> p;
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    return {pages[1] * page, pages[5] * page};
  }
};

/// Lets this process allocate no more than `bytes` while it lives. 0: no limit.
class memory_limit {
 public:
  explicit memory_limit(std::uint64_t bytes) {
    if (bytes == 0 || ::getrlimit(RLIMIT_DATA, &before_) != 0) return;
    const std::uint64_t used = memory_use::now().data;
    if (used == 0) {
      throw std::runtime_error{
          "process_pool: the max_memory of the call cannot be kept, since its worker cannot read "
          "/proc/self/statm; it was not run: let the worker see /proc, or set no max_memory"};
    }
    rlimit lower = before_;
    lower.rlim_cur = std::min<rlim_t>(used + bytes, before_.rlim_max);
    set_ = ::setrlimit(RLIMIT_DATA, &lower) == 0;
  }
  ~memory_limit() {
    if (set_) ::setrlimit(RLIMIT_DATA, &before_);
  }
  memory_limit(const memory_limit&) = delete;
  memory_limit& operator=(const memory_limit&) = delete;

 private:
  rlimit before_{};
  bool set_ = false;
};

}  // namespace cadre::process
