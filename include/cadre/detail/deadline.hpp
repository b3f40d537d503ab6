// SPDX-License-Identifier: MIT
// When a wait ends.
#pragma once

#include <chrono>
#include <optional>
#include <type_traits>

namespace cadre::detail {

using time_point = std::chrono::steady_clock::time_point;
inline constexpr time_point never = time_point::max();

/// When a wait of `limit` that starts now ends. Saturates: a year in milliseconds is fine, and so are
/// duration::max() and infinity. What is no number is over.
template <typename Rep, typename Period>
time_point deadline_after(std::chrono::duration<Rep, Period> limit) {
  using seconds = std::chrono::duration<double>;
  const time_point now = std::chrono::steady_clock::now();
  if (!(limit > limit.zero())) return now;
  if (seconds{limit} >= seconds{never - now}) return never;
  return now + std::chrono::ceil<time_point::duration>(limit);
}

/// Never, without a limit.
inline time_point deadline_after(const std::optional<std::chrono::nanoseconds>& limit) {
  return limit ? deadline_after(*limit) : never;
}

/// Saturates, too. What is no number is nothing.
template <typename Rep, typename Period>
std::chrono::nanoseconds whole_nanoseconds(std::chrono::duration<Rep, Period> time) {
  using std::chrono::nanoseconds;
  using seconds = std::chrono::duration<double>;
  if (!(time > time.zero()) && !(time < time.zero())) return {};
  if (seconds{time} >= seconds{nanoseconds::max()}) return nanoseconds::max();
  if (seconds{time} <= seconds{nanoseconds::min()}) return nanoseconds::min();
  return std::chrono::ceil<nanoseconds>(time);
}

/// What `limit`, counted from a later time on, is from now on. Saturates.
inline std::chrono::nanoseconds left_after(time_point from, std::chrono::nanoseconds limit) {
  const std::chrono::nanoseconds wait = from - std::chrono::steady_clock::now();
  if (wait <= wait.zero()) return limit;
  return limit > limit.max() - wait ? limit.max() : wait + limit;
}

/// As deadline_after, for a point of any clock.
template <typename Clock, typename Duration>
time_point deadline_at(std::chrono::time_point<Clock, Duration> limit) {
  using seconds = std::chrono::duration<double>;
  const seconds at{limit.time_since_epoch()};
  if constexpr (std::is_same_v<Clock, std::chrono::steady_clock>) {
    if (at >= seconds{never.time_since_epoch()}) return never;
    if (!(at > seconds::zero())) return {};  // before the machine was started
    return std::chrono::ceil<time_point::duration>(limit);
  } else {
    const auto now = Clock::now();
    const seconds left = at - seconds{now.time_since_epoch()};
    // So near, the exact difference cannot overflow. A double is exact enough for what is farther.
    constexpr seconds near = std::chrono::years{30};
    return left > -near && left < near ? deadline_after(limit - now) : deadline_after(left);
  }
}

}  // namespace cadre::detail
