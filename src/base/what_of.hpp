// SPDX-License-Identifier: MIT
#pragma once

#include <exception>
#include <string>

namespace cadre::detail {

/// What an exception says, for a message that contains it. Requires that it is not null.
std::string what_of(const std::exception_ptr& e);

}  // namespace cadre::detail
