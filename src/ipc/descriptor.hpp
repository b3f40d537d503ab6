// SPDX-License-Identifier: MIT
// descriptor: a file descriptor and the duty to close it.
//
// Threads    As an int.
// Errors     All of ipc: what the system refuses is std::system_error.
#pragma once

#include <utility>

namespace cadre::ipc {

class descriptor {
 public:
  descriptor() noexcept = default;
  explicit descriptor(int fd) noexcept : fd_{fd} {}
  descriptor(descriptor&& other) noexcept : fd_{std::exchange(other.fd_, none)} {}
  descriptor& operator=(descriptor&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, none));
    return *this;
  }
  ~descriptor() { reset(); }

  explicit operator bool() const noexcept { return fd_ != none; }
  int get() const noexcept { return fd_; }
  /// Gives the duty to the caller.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, none); }
  void reset(int fd = -1) noexcept;

 private:
  static constexpr int none = -1;
  int fd_ = none;
};

/// Owns what a system call returned; throw_errno(what) if that failed. The number is above 2, also in
/// a program that closed its stdout: what it prints must not go here.
descriptor own(int result, const char* what);

/// Throws the std::system_error of errno. `what` says who could not do what, and what now.
[[noreturn]] void throw_errno(const char* what);

}  // namespace cadre::ipc
