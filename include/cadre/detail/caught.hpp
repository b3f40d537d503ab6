// SPDX-License-Identifier: MIT
// What a call threw, or that it did worse.
#pragma once

#include <cadre/config.hpp>

#include <exception>
#include <string_view>

namespace cadre::detail {

/// For catch (...) around user code: the exception. If there is none, since the code ends its thread by
/// pthread_exit() or was cancelled, which the C library lets nobody stop, the process ends with a sentence
/// that names `call`.
CADRE_API std::exception_ptr caught(std::string_view call) noexcept;

}  // namespace cadre::detail
