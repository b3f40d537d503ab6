// SPDX-License-Identifier: MIT
#include "ipc/descriptor.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace cadre::ipc {

void descriptor::reset(int fd) noexcept {
  const int before = std::exchange(fd_, fd);
  // Not again after EINTR: Linux has closed it then, and another thread may have the number.
  if (before != none) ::close(before);
}

descriptor own(int result, const char* what) {
  descriptor fd{result};
  const bool standard = fd && fd.get() <= STDERR_FILENO;
  if (standard) fd = descriptor{::fcntl(fd.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1)};
  if (!fd) throw_errno(what);
  return fd;
}

void throw_errno(const char* what) { throw std::system_error{errno, std::system_category(), what}; }

}  // namespace cadre::ipc
