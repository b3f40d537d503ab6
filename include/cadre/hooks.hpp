// SPDX-License-Identifier: MIT
// Where exceptions go that no caller can catch.
//
//     cadre::set_unhandled_hook([](const cadre::unhandled& u) noexcept { log(u.where, u.error); });
//
// Such an exception left a call whose future nobody asked, a posted call, a done callback, or a
// worker's initializer, which breaks its pool, or finalizer. Else it stops nothing. Without a hook it
// becomes one line on stderr.
//
// Threads    The hook runs on the thread that met the exception, at any time, also concurrently.
#pragma once

#include <cadre/config.hpp>

#include <exception>
#include <string_view>

namespace cadre {

/// One exception that nobody caught. All calls of a broken executor fail with the same words, a
/// broken_executor, which is reported once.
struct unhandled {
  std::string_view where;    ///< "call", "posted call", "done callback", "initializer", "finalizer"
  std::string_view name;     ///< the name given at submit; empty if none
  std::exception_ptr error;  ///< never null
};

using unhandled_hook = void (*)(const unhandled&) noexcept;

/// Installs `hook` for the whole program and returns the one before. Null brings the default back:
/// one line on stderr. Does not block.
CADRE_API unhandled_hook set_unhandled_hook(unhandled_hook hook) noexcept;

namespace detail {

CADRE_API void report_unhandled(std::string_view where, std::string_view name,
                                std::exception_ptr error) noexcept;

}  // namespace detail
}  // namespace cadre
