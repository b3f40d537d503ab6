// SPDX-License-Identifier: MIT
#include "ipc/alarm.hpp"

#include <sys/timerfd.h>

namespace cadre::ipc {

alarm::alarm()
    : fd_{own(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
              "cadre: cannot make a timerfd to be woken by")} {}

void alarm::ring_after(std::chrono::nanoseconds time) const noexcept {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
  const itimerspec once{{}, {seconds.count(), (time - seconds).count()}};
  // It fails for a time that cannot be, only.
  ::timerfd_settime(fd_.get(), 0, &once, nullptr);
}

}  // namespace cadre::ipc
