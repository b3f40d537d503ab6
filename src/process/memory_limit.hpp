// SPDX-License-Identifier: MIT
// What a worker uses of memory, and a limit of it for one call.
#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>

#include "ipc/descriptor.hpp"

namespace cadre::process {

/// Sizes of this process, in bytes.
struct memory_use {
  std::uint64_t resident = 0;
  std::uint64_t data = 0;

  /// Zeros if /proc cannot be read.
  static memory_use now() {
    kept_file& kept = kept_statm();
    const bool ours = kept.owner == ::getpid();
    const ipc::descriptor opened{ours ? -1 : open_statm()};
    const int fd = ours ? kept.fd.get() : opened.get();
    std::array<char, 128> text{};
    const ssize_t size = ::pread(fd, text.data(), text.size() - 1, 0);
    if (size <= 0) return {};
    std::array<std::uint64_t, 6> pages{};  // size resident shared text lib data
    char* at = text.data();
    for (auto& p : pages) p = std::strtoull(at, &at, 10);
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    return {pages[1] * page, pages[5] * page};
  }

  /// Before this process gives up its right to open files.
  static void keep_open() { kept_statm() = {ipc::descriptor{open_statm()}, ::getpid()}; }

 private:
  struct kept_file {
    ipc::descriptor fd;
    pid_t owner = 0;  // a forked child must open its own
  };
  static kept_file& kept_statm() {
    static auto* const file = new kept_file;  // never destroyed: calls may run while statics are
    return *file;
  }
  static int open_statm() { return ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC); }
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
    const bool counts = bytes < RLIM_INFINITY - used;
    lower.rlim_cur = std::min<rlim_t>(counts ? used + bytes : RLIM_INFINITY, before_.rlim_max);
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
