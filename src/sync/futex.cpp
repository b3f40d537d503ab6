// SPDX-License-Identifier: MIT
#include "sync/futex.hpp"

#ifndef CADRE_MODEL

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

namespace cadre::sync {
namespace {

bool wait(const atomic<std::uint32_t>& word, std::uint32_t expected, time_point deadline,
          int scope) noexcept {
  timespec until{};
  if (deadline != never) {
    const auto ns = std::chrono::nanoseconds{deadline.time_since_epoch()}.count();
    if (ns <= 0) return false;
    until.tv_sec = static_cast<time_t>(ns / 1'000'000'000);
    until.tv_nsec = static_cast<long>(ns % 1'000'000'000);
  }
  // FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time, which is what steady_clock counts:
  // a wait that is interrupted and resumed does not drift.
  const long result =
      ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | scope, expected,
                deadline == never ? nullptr : &until, nullptr, FUTEX_BITSET_MATCH_ANY);
  return !(result == -1 && errno == ETIMEDOUT);
}

void wake(const atomic<std::uint32_t>* word, int count, int scope) noexcept {
  ::syscall(SYS_futex, word, FUTEX_WAKE | scope, count, nullptr, nullptr, 0);
}

constexpr int shared = 0;

}  // namespace

bool futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected,
                time_point deadline) noexcept {
  return wait(word, expected, deadline, FUTEX_PRIVATE_FLAG);
}

void futex_wake(const atomic<std::uint32_t>* word, int count) noexcept {
  wake(word, count, FUTEX_PRIVATE_FLAG);
}

bool futex_wait_shared(const atomic<std::uint32_t>& word, std::uint32_t expected,
                       time_point deadline) noexcept {
  return wait(word, expected, deadline, shared);
}

void futex_wake_shared(const atomic<std::uint32_t>* word, int count) noexcept {
  wake(word, count, shared);
}

void yield() noexcept { ::sched_yield(); }

}  // namespace cadre::sync

#endif
