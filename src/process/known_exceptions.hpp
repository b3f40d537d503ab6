// SPDX-License-Identifier: MIT
// The exception types that cross without registration.
#pragma once

#include <cadre/register_exception.hpp>

#include <span>

namespace cadre::detail {

/// One entry per type. user_encode and user_decode are null.
std::span<const exception_type> known_exceptions() noexcept;

}  // namespace cadre::detail
