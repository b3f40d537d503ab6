// SPDX-License-Identifier: MIT
// A file of its own: no other may both use and define the type information.
#include "process/throw_probe.hpp"

#include <version>

namespace cadre::detail {

void run_probed(void (*body)(void*), void (*caught)(void*), void* argument) noexcept {
  try {
    body(argument);
#ifndef _LIBCPP_VERSION  // see throw_trace.cpp
  } catch (const throw_probe&) {
#endif
  } catch (...) {
    caught(argument);
  }
}

}  // namespace cadre::detail
