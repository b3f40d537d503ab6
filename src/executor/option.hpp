// SPDX-License-Identifier: MIT
// What the constructors of executors refuse.
#pragma once

#include <chrono>
#include <stdexcept>
#include <string>

namespace cadre::detail {

/// `who` is the executor, as in its messages. Throws std::invalid_argument.
inline void require_not_negative(const char* who, const char* option,
                                 std::chrono::nanoseconds value) {
  if (value >= value.zero()) return;
  throw std::invalid_argument{std::string{who} + ": " + option + " must not be negative, got " +
                              std::to_string(value.count()) + " ns"};
}

}  // namespace cadre::detail
