// SPDX-License-Identifier: MIT
#include "ipc/descriptor.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
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

std::string what_now(int error) {
  switch (error) {
    case EMFILE:
      return "; this process has no descriptor left: raise ulimit -n";
    case ENFILE:
      return "; the system has no descriptor left: raise fs.file-max, or close some";
    case ENOMEM: {
      const rlim_t most = limit_of(RLIMIT_AS);
      if (most == RLIM_INFINITY) return "; free memory, or raise the limit of its cgroup";
      return "; the address space may have " + std::to_string(most) + " bytes: raise ulimit -v";
    }
    case ENOSYS:
      return "; it needs a newer kernel, or a filter of system calls that lets it pass";
    case EPERM:
      return "; a filter of system calls, or another rule of this system, forbids it";
    default:
      return {};
  }
}

void throw_errno(const char* what) {
  const int error = errno;
  throw std::system_error{error, std::system_category(), what + what_now(error)};
}

rlim_t limit_of(resource which) noexcept {
  rlimit limit{};
  return ::getrlimit(which, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

}  // namespace cadre::ipc
