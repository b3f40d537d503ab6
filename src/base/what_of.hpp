// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <exception>
#include <string>

namespace cadre::detail {

/// The longest message that is copied: a what() of somebody's may never end.
inline constexpr std::size_t longest_text = std::size_t{1} << 20;

/// What what() returned, or a thrown const char* is, at most longest_text bytes of it; empty for a null
/// pointer, which either may be.
std::string text_of(const char* text);

/// What an exception says, for a message that contains it. Requires that it is not null.
std::string what_of(const std::exception_ptr& e);

}  // namespace cadre::detail
