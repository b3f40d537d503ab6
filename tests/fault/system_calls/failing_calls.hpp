// SPDX-License-Identifier: MIT
// The functions by which the library asks the kernel, in this program: the n-th call of one of them, from
// now on, can be made to fail. They stand in front of the C library's.
#pragma once

#include <span>

namespace cadre::test {

struct failure {
  const char* call;
  int error;
};

/// What can fail, and how: errors that the manual pages name, and that come of want or of signals.
std::span<const failure> failures() noexcept;

/// The call number `n`, from 0, of failures()[which] fails, in this process and on whatever thread.
void fail_call(unsigned which, long n) noexcept;

/// That one and all after it.
void fail_calls_from(unsigned which, long n) noexcept;

/// None fails any more. Returns how many there were, of that kind, since fail_call().
long allow_calls() noexcept;

/// A process that finds "WHICH N" under this name in its environment does so before main().
inline constexpr const char* failing_call_name = "CADRE_FAILING_CALL";

}  // namespace cadre::test
