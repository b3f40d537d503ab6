// SPDX-License-Identifier: MIT
#include "ipc/event.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>

namespace cadre::ipc {

event::event()
    : fd_{own(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
              "cadre: cannot make an eventfd to be woken by")} {}

void event::ring() const noexcept {
  const std::uint64_t once = 1;
  // It fails only if the counter is full, which some hostile peer wrote: then it is readable anyway.
  [[maybe_unused]] const ssize_t written = ::write(fd_.get(), &once, sizeof once);
}

void event::silence() const noexcept {
  std::uint64_t rings = 0;
  [[maybe_unused]] const ssize_t got = ::read(fd_.get(), &rings, sizeof rings);
}

}  // namespace cadre::ipc
