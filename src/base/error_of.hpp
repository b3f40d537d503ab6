// SPDX-License-Identifier: MIT
#pragma once

#include <exception>

namespace cadre::detail {

/// The exception that `make` returns, or, if there is no memory for its text, the std::bad_alloc that
/// says so. For those who must tell an error and may not throw one.
template <typename Make>
std::exception_ptr error_of(const Make& make) noexcept {
  try {
    return std::make_exception_ptr(make());
  } catch (...) {
    return std::current_exception();
  }
}

}  // namespace cadre::detail
