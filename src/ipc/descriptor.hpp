// SPDX-License-Identifier: MIT
// descriptor: a file descriptor and the duty to close it.
//
// Threads    As an int.
// Errors     All of ipc: what the system refuses is std::system_error.
#pragma once

#include <sys/resource.h>

#include <string>
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

/// Throws the std::system_error of errno. `what` says who could not do what, with which system call;
/// what_now() is added.
[[noreturn]] void throw_errno(const char* what);

/// What to do about an errno, to be appended to a message: "; raise ulimit -n". Empty if that depends on
/// more than the number.
std::string what_now(int error);

using resource = decltype(RLIMIT_AS);
/// The soft limit of this process. RLIM_INFINITY if there is none.
rlim_t limit_of(resource which) noexcept;

}  // namespace cadre::ipc
