// SPDX-License-Identifier: MIT
// The version of cadre, what marks a name as part of its binary interface, and what it needs to be
// compiled: checked here, so that the first error is a sentence.
#pragma once

#if !defined(__linux__) || !defined(__LP64__)
#error "cadre: it runs on 64-bit Linux only"
#endif
#if __cplusplus < 202002L
#error \
    "cadre: it is C++20: compile with -std=c++20, in CMake with target_compile_features(... cxx_std_20)"
#endif
#if !defined(__cpp_exceptions) || !defined(__cpp_rtti)
#error "cadre: futures carry exceptions of any type: compile without -fno-exceptions and -fno-rtti"
#endif

// The build system and pkg-config read the version from these three lines.
#define CADRE_VERSION_MAJOR 0
#define CADRE_VERSION_MINOR 1
#define CADRE_VERSION_PATCH 0

/// One number to compare with: 10203 is version 1.2.3.
#define CADRE_VERSION \
  (CADRE_VERSION_MAJOR * 10000 + CADRE_VERSION_MINOR * 100 + CADRE_VERSION_PATCH)

/// Put on every class and function that the compiled library offers: it is built with hidden
/// visibility. Exception types need it also in a static library, so that a shared object that
/// links cadre can throw them into another one.
#define CADRE_API __attribute__((visibility("default")))

// In an aggregate that is made in place, clang 16 does not initialise the member behind an empty one that has
// no address of its own. clang 19 does.
#if defined(__clang__) && __clang_major__ < 19
#define CADRE_MAY_SHARE_ADDRESS
#else
#define CADRE_MAY_SHARE_ADDRESS [[no_unique_address]]
#endif

namespace cadre::detail {

#if defined(_GLIBCXX_DEBUG)
#define CADRE_LIBRARY_FITS library_was_compiled_with_GLIBCXX_DEBUG_as_this_program
#else
#define CADRE_LIBRARY_FITS library_was_compiled_without_GLIBCXX_DEBUG_as_this_program
#endif
/// The containers of the standard library are others with that macro: a program that uses them with a
/// library that does not would crash. Now it does not link, and this name says why.
CADRE_API extern const char CADRE_LIBRARY_FITS;
[[gnu::used]] inline const char* const fits = &CADRE_LIBRARY_FITS;

}  // namespace cadre::detail
