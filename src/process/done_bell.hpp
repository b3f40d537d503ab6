// SPDX-License-Identifier: MIT
// done_bell: a thread that waits for a call sleeps until the call is done, or its worker rings.
#pragma once

#include <poll.h>
#include <cadre/detail/state.hpp>

#include <array>
#include <span>

#include "ipc/event.hpp"
#include "ipc/poller.hpp"
#include "sync/futex.hpp"

namespace cadre::process {

class done_bell : public detail::listener {
 public:
  /// Throws std::system_error.
  done_bell()
      : listener{[](listener& self, detail::state_base&) noexcept {
          static_cast<done_bell&>(self).event_.ring();
        }} {}

  /// Sleeps until `awaited` is done, `fd` can be read, or the deadline.
  void sleep(detail::state_base& awaited, int fd, sync::time_point deadline) noexcept {
    if (!awaited.add_listener(*this)) return;
    std::array<pollfd, 2> events{{{fd, POLLIN, 0}, {event_.fd(), POLLIN, 0}}};
    ipc::poll_until(events, deadline);
    if (awaited.remove_listener(*this)) return;
    ipc::poll_until(std::span{events}.last(1), sync::never);  // it is being told
    event_.silence();
  }

 private:
  ipc::event event_;
};

}  // namespace cadre::process
