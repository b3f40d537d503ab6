// SPDX-License-Identifier: MIT
#include "fault/system_calls/failing_calls.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string_view>

namespace cadre::test {
namespace {

constexpr failure all[] = {
    {"eventfd", EMFILE},
    {"memfd_create", EMFILE},
    {"memfd_create", ENOMEM},
    {"ftruncate", ENOMEM},
    {"ftruncate", EINTR},
    {"mmap", ENOMEM},
    {"fcntl", EMFILE},
    {"fstat", ENOMEM},
    {"socketpair", EMFILE},
    {"sendmsg", EINTR},
    {"sendmsg", ENOMEM},
    {"sendmsg", ENOBUFS},
    {"recvmsg", EINTR},
    {"recvmsg", ENOMEM},
    {"epoll_create1", EMFILE},
    {"epoll_ctl", ENOMEM},
    {"epoll_ctl", ENOSPC},
    {"epoll_wait", EINTR},
    {"poll", EINTR},
    {"poll", ENOMEM},
    {"posix_spawn", EAGAIN},
    {"posix_spawn", ENOMEM},
    {"fork", EAGAIN},
    {"fork", ENOMEM},
    {"pthread_create", EAGAIN},
    {"futex", EINTR},
    {"futex", EAGAIN},
    {"pidfd_open", EMFILE},
    {"pidfd_open", ENOMEM},
    {"waitid", EINTR},
    {"waitpid", EINTR},
    {"wait4", EINTR},
};

constinit std::atomic<int> chosen{-1};  // of all; -1: none
constinit std::atomic<long> seen{0};
constinit std::atomic<long> first_failing{0};
constinit std::atomic<long> last_failing{0};

bool is_to_fail(std::string_view call) noexcept {
  const int which = chosen.load();
  if (which < 0 || call != all[which].call) return false;
  const long number = seen.fetch_add(1);
  if (number < first_failing.load() || number > last_failing.load()) return false;
  errno = all[which].error;
  return true;
}

/// The function that this program's one of that name hides.
template <typename Function>
Function* hidden(const char* name) noexcept {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

void fail_calls(unsigned which, long first, long last) noexcept {
  chosen = -1;
  first_failing = first;
  last_failing = last;
  seen = 0;
  chosen = static_cast<int>(which % std::size(all));
}

// Before the zygote forks, its workers inherit it.
[[maybe_unused]] const bool from_environment = [] {
  const char* const text = std::getenv(failing_call_name);
  unsigned which = 0;
  long n = 0;
  if (text == nullptr || std::sscanf(text, "%u %ld", &which, &n) != 2) return false;
  fail_call(which, n);
  return true;
}();

const char* name_of(long number, long second) noexcept {
  switch (number) {
    case SYS_futex:  // to wake needs nothing
      return (second & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET ? "futex" : "";
    case SYS_pidfd_open:
      return "pidfd_open";
    case SYS_waitid:
      return "waitid";
    default:
      return "";
  }
}

}  // namespace

std::span<const failure> failures() noexcept { return all; }

void fail_call(unsigned which, long n) noexcept { fail_calls(which, n, n); }

void fail_calls_from(unsigned which, long n) noexcept { fail_calls(which, n, LONG_MAX); }

long allow_calls() noexcept {
  chosen = -1;
  return seen;
}

}  // namespace cadre::test

using cadre::test::hidden;
using cadre::test::is_to_fail;

// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the C library's are reserved
extern "C" {

int eventfd(unsigned count, int flags) noexcept {
  static auto* const real = hidden<int(unsigned, int)>("eventfd");
  return is_to_fail("eventfd") ? -1 : real(count, flags);
}
int memfd_create(const char* name, unsigned flags) noexcept {
  static auto* const real = hidden<int(const char*, unsigned)>("memfd_create");
  return is_to_fail("memfd_create") ? -1 : real(name, flags);
}
int ftruncate(int fd, off_t size) noexcept {
  static auto* const real = hidden<int(int, off_t)>("ftruncate");
  return is_to_fail("ftruncate") ? -1 : real(fd, size);
}
void* mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset) noexcept {
  static auto* const real = hidden<void*(void*, size_t, int, int, int, off_t)>("mmap");
  return is_to_fail("mmap") ? MAP_FAILED : real(at, size, protection, flags, fd, offset);
}
int fcntl(int fd, int command, ...) {
  static auto* const real = hidden<int(int, int, ...)>("fcntl");
  va_list rest;
  va_start(rest, command);
  void* const argument = va_arg(rest, void*);
  va_end(rest);
  const bool makes_one = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
  return makes_one && is_to_fail("fcntl") ? -1 : real(fd, command, argument);
}
int fstat(int fd, struct stat* into) noexcept {
  static auto* const real = hidden<int(int, struct stat*)>("fstat");
  return is_to_fail("fstat") ? -1 : real(fd, into);
}
int socketpair(int domain, int type, int protocol, int ends[2]) noexcept {
  static auto* const real = hidden<int(int, int, int, int*)>("socketpair");
  return is_to_fail("socketpair") ? -1 : real(domain, type, protocol, ends);
}
ssize_t sendmsg(int fd, const struct msghdr* message, int flags) {
  static auto* const real = hidden<ssize_t(int, const msghdr*, int)>("sendmsg");
  return is_to_fail("sendmsg") ? -1 : real(fd, message, flags);
}
ssize_t recvmsg(int fd, struct msghdr* message, int flags) {
  static auto* const real = hidden<ssize_t(int, msghdr*, int)>("recvmsg");
  return is_to_fail("recvmsg") ? -1 : real(fd, message, flags);
}
int epoll_create1(int flags) noexcept {
  static auto* const real = hidden<int(int)>("epoll_create1");
  return is_to_fail("epoll_create1") ? -1 : real(flags);
}
int epoll_ctl(int epoll, int operation, int fd, struct epoll_event* event) noexcept {
  static auto* const real = hidden<int(int, int, int, epoll_event*)>("epoll_ctl");
  // To take one out needs nothing.
  const bool adds = operation == EPOLL_CTL_ADD;
  return adds && is_to_fail("epoll_ctl") ? -1 : real(epoll, operation, fd, event);
}
int epoll_wait(int epoll, struct epoll_event* events, int size, int timeout) {
  static auto* const real = hidden<int(int, epoll_event*, int, int)>("epoll_wait");
  return is_to_fail("epoll_wait") ? -1 : real(epoll, events, size, timeout);
}
int poll(struct pollfd* events, nfds_t size, int timeout) {
  static auto* const real = hidden<int(pollfd*, nfds_t, int)>("poll");
  return is_to_fail("poll") ? -1 : real(events, size, timeout);
}
int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions,
                const posix_spawnattr_t* attributes, char* const arguments[],
                char* const environment[]) {
  static auto* const real =
      hidden<int(pid_t*, const char*, const posix_spawn_file_actions_t*, const posix_spawnattr_t*,
                 char* const*, char* const*)>("posix_spawn");
  return is_to_fail("posix_spawn") ? errno
                                   : real(pid, path, actions, attributes, arguments, environment);
}
pid_t fork() noexcept {
  static auto* const real = hidden<pid_t()>("fork");
  return is_to_fail("fork") ? -1 : real();
}
int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                   void* argument) noexcept {
  static auto* const real =
      hidden<int(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)>("pthread_create");
  return is_to_fail("pthread_create") ? errno : real(thread, attributes, start, argument);
}
pid_t waitpid(pid_t pid, int* status, int options) {
  static auto* const real = hidden<pid_t(pid_t, int*, int)>("waitpid");
  return is_to_fail("waitpid") ? -1 : real(pid, status, options);
}
pid_t wait4(pid_t pid, int* status, int options, struct rusage* used) noexcept {
  static auto* const real = hidden<pid_t(pid_t, int*, int, rusage*)>("wait4");
  return is_to_fail("wait4") ? -1 : real(pid, status, options, used);
}
long syscall(long number, ...) noexcept {
  static auto* const real = hidden<long(long, ...)>("syscall");
  va_list rest;
  va_start(rest, number);
  std::array<long, 6> a{};
  for (long& each : a) each = va_arg(rest, long);
  va_end(rest);
  if (is_to_fail(cadre::test::name_of(number, a[1]))) return -1;
  return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

}  // extern "C"
// NOLINTEND(readability-inconsistent-declaration-parameter-name)
