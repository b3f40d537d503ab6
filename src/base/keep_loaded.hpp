// SPDX-License-Identifier: MIT
#pragma once

namespace cadre::detail {

/// Keeps the shared object that holds this code loaded until the process ends, if it is one: for
/// threads that nobody joins, whose code dlclose() would take away.
void keep_loaded() noexcept;

}  // namespace cadre::detail
