// SPDX-License-Identifier: MIT
// A descriptor that is closed with its owner.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

namespace cadre::process {

class unique_fd {
 public:
  unique_fd() noexcept = default;
  explicit unique_fd(int fd) noexcept : fd_{fd} {}
  unique_fd(unique_fd&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
  unique_fd& operator=(unique_fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~unique_fd() {
    if (fd_ >= 0) ::close(fd_);
  }

  int get() const noexcept { return fd_; }
  int release() noexcept { return std::exchange(fd_, -1); }
  void close() noexcept { unique_fd{std::move(*this)}; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// Owns what a system call returned; throws std::system_error naming `call` if that failed. The
/// number is above 2, also in a program that closed its stdout: what it prints must not go here.
inline unique_fd own_fd(int result, const char* call) {
  unique_fd fd{result};
  const bool standard = fd && fd.get() <= STDERR_FILENO;
  if (standard) fd = unique_fd{::fcntl(fd.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1)};
  if (!fd) throw std::system_error{errno, std::generic_category(), call};
  return fd;
}

}  // namespace cadre::process
