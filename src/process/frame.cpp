// SPDX-License-Identifier: MIT
#include "process/frame.hpp"

#include <sys/random.h>

#include <cerrno>
#include <system_error>

namespace cadre::process {

frame_secrets frame_secrets::random() {
  frame_secrets made;
  ssize_t got = 0;
  do {
    got = ::getrandom(&made, sizeof made, 0);  // so few bytes come all at once, or not at all
  } while (got < 0 && errno == EINTR);
  if (got == sizeof made) return made;
  throw std::system_error{errno, std::generic_category(),
                          "cadre: no random numbers for the frames of a worker (getrandom); if a "
                          "filter of system calls denies it, allow it"};
}

}  // namespace cadre::process
