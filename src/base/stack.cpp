// SPDX-License-Identifier: MIT
#include "base/stack.hpp"

#include <pthread.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace cadre::detail {
namespace {

struct stack_bounds {
  std::uintptr_t low = 0;
  std::uintptr_t high = 0;
  bool asked = false;

  bool hold(std::uintptr_t frame) const noexcept { return frame >= low && frame < high; }
};

/// Of the main thread, whose stack the kernel has laid out: its highest page holds the name of the program,
/// and it grows down to its limit. None if that is not certain. The C library reads /proc/self/maps for it,
/// which takes 70 us of a worker's first start.
stack_bounds stack_of_main_thread() noexcept {
  // Below a stack of that limit the kernel keeps this much free.
  constexpr rlim_t kept_free = rlim_t{128} << 20;
  const std::uintptr_t name = ::getauxval(AT_EXECFN);
  const long page = ::sysconf(_SC_PAGESIZE);
  rlimit limit{};
  if (name == 0 || page <= 0 || ::gettid() != ::getpid()) return {};
  if (::getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur > kept_free) return {};
  const auto unit = static_cast<std::uintptr_t>(page);
  const std::uintptr_t size = limit.rlim_cur / unit * unit;
  const std::uintptr_t end = name + std::strlen(reinterpret_cast<const char*>(name)) + 1;
  const std::uintptr_t high = (end + unit - 1) / unit * unit;
  if (size >= high) return {};
  return {high - size, high, true};
}

/// Of this thread. All zero if the system does not say.
stack_bounds find_stack() noexcept {
  stack_bounds found = stack_of_main_thread();
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  if (found.hold(here)) return found;
  found = {.asked = true};
  pthread_attr_t attributes;
  if (::pthread_getattr_np(::pthread_self(), &attributes) != 0) return found;
  void* low = nullptr;
  std::size_t size = 0;
  if (::pthread_attr_getstack(&attributes, &low, &size) == 0) {
    found.low = reinterpret_cast<std::uintptr_t>(low);
    found.high = found.low + size;
  }
  ::pthread_attr_destroy(&attributes);
  return found;
}

}  // namespace

std::uintptr_t end_of_stack(std::uintptr_t frame) noexcept {
  // A sandbox may forbid to ask for them later.
  static constinit thread_local stack_bounds bounds{};
  if (!bounds.asked) bounds = find_stack();
  // What is to be left: for the frames of one level, and of who throws.
  constexpr std::uintptr_t reserve = std::uintptr_t{64} << 10;
  constexpr std::uintptr_t elsewhere = std::uintptr_t{128} << 10;
  if (bounds.hold(frame)) return bounds.low + std::min(reserve, (bounds.high - bounds.low) / 4);
  return frame > elsewhere ? frame - elsewhere : 0;
}

}  // namespace cadre::detail
