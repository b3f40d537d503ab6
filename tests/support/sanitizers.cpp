// SPDX-License-Identifier: MIT
#include "support/sanitizers.hpp"

/// ThreadSanitizer asks for this by its name.
extern "C" const char* __tsan_default_suppressions() {  // NOLINT(bugprone-reserved-identifier)
  // Exception objects, and the texts that their copies share, are counted in libstdc++, which Debian
  // builds without instrumentation: that whoever destroys one is the last to use it is not seen.
  return "race:std::__exception_ptr::exception_ptr::_M_release\n"
         "race:std::runtime_error::~runtime_error\n"
         "race:std::logic_error::~logic_error\n";
}
