// SPDX-License-Identifier: MIT
// Which sanitizer this program was built with, for what cannot be the same under one.
#pragma once

#ifdef __has_feature  // clang
#define CADRE_TEST_HAS_FEATURE(feature) __has_feature(feature)
#else
#define CADRE_TEST_HAS_FEATURE(feature) 0
#endif

namespace cadre::test {

#if defined(__SANITIZE_THREAD__) || CADRE_TEST_HAS_FEATURE(thread_sanitizer)
inline constexpr bool under_tsan = true;
#else
inline constexpr bool under_tsan = false;
#endif

#if defined(__SANITIZE_ADDRESS__) || CADRE_TEST_HAS_FEATURE(address_sanitizer)
inline constexpr bool under_asan = true;
#else
inline constexpr bool under_asan = false;
#endif

}  // namespace cadre::test

#undef CADRE_TEST_HAS_FEATURE
