// SPDX-License-Identifier: MIT
#pragma once

namespace cadre::detail {

/// Never thrown. Its destructor is defined nowhere, so that the compiler expects the class's type
/// information elsewhere: throw_trace.cpp defines it, under the name that the ABI gives it.
class throw_probe {
 public:
  virtual ~throw_probe();
};

/// Runs body(argument) behind a handler for throw_probe, and one for all else, which calls
/// caught(argument).
void run_probed(void (*body)(void*), void (*caught)(void*), void* argument) noexcept;

}  // namespace cadre::detail
