// SPDX-License-Identifier: MIT
#include "ipc/region.hpp"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>

#ifndef MFD_NOEXEC_SEAL  // Linux 6.3
#define MFD_NOEXEC_SEAL 0x0008U
#endif

namespace cadre::ipc {
namespace {

int seals_of(region::access who) {
  const int fixed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  return who == region::access::mine ? fixed | F_SEAL_FUTURE_WRITE : fixed;
}

descriptor make_memfd() {
  const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  int fd = ::memfd_create("cadre", flags | MFD_NOEXEC_SEAL);
  if (fd < 0 && errno == EINVAL) fd = ::memfd_create("cadre", flags);  // before Linux 6.3
  return own(fd, "cadre: cannot make shared memory (memfd_create)");
}

/// ftruncate() over the limit would send SIGXFSZ, which ends the program. Memory counts as a file there.
void refuse_beyond_file_limit(std::size_t size) {
  const rlim_t most = limit_of(RLIMIT_FSIZE);
  if (most == RLIM_INFINITY || size <= most) return;
  throw std::system_error{EFBIG, std::system_category(),
                          "cadre: cannot make shared memory of " + std::to_string(size) +
                              " bytes, since a file may have " + std::to_string(most) +
                              " in this process; raise ulimit -f (RLIMIT_FSIZE)"};
}

}  // namespace

region::~region() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
}

created_region region::create(std::size_t size, access who) {
  refuse_beyond_file_limit(size);
  descriptor fd = make_memfd();
  if (::ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
    throw_errno("cadre: cannot size shared memory (ftruncate)");
  }
  region memory = map(fd.get(), size, PROT_READ | PROT_WRITE);
  // After the mapping: F_SEAL_FUTURE_WRITE leaves only those that can already write.
  if (::fcntl(fd.get(), F_ADD_SEALS, seals_of(who)) != 0) {
    throw_errno("cadre: cannot seal shared memory (F_ADD_SEALS); it needs Linux 5.1");
  }
  return {std::move(memory), std::move(fd)};
}

region region::open(const descriptor& handle, std::size_t size, access who) {
  const int wanted = seals_of(who);
  const int seals = ::fcntl(handle.get(), F_GET_SEALS);  // -1 if it is no memfd
  if (seals < 0 || (seals & wanted) != wanted) {
    throw std::runtime_error{
        "cadre: shared memory from another process is refused: it is not sealed, so its size could "
        "change while it is read; that process is broken and must be replaced"};
  }
  // No fstat: the C library's is one of the calls that a strict sandbox refuses.
  const off_t found = ::lseek(handle.get(), 0, SEEK_END);
  if (found < 0) throw_errno("cadre: cannot measure shared memory (lseek)");
  if (found != static_cast<off_t>(size)) {
    throw std::runtime_error{
        "cadre: shared memory from another process is refused: it is not of the agreed size; that "
        "process is broken and must be replaced"};
  }
  return map(handle.get(), size, who == access::mine ? PROT_READ : PROT_READ | PROT_WRITE);
}

region region::map(int fd, std::size_t size, int protection) {
  void* const memory = ::mmap(nullptr, size, protection, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) {
    // Of a program that locks all that it maps: mlockall(MCL_FUTURE).
    throw_errno(errno == EAGAIN ? "cadre: cannot map shared memory (mmap); raise ulimit -l"
                                : "cadre: cannot map shared memory (mmap)");
  }
  return region{{static_cast<std::byte*>(memory), size}};
}

}  // namespace cadre::ipc
