// SPDX-License-Identifier: MIT
// When a wait ends.
#pragma once

#include <chrono>
#include <type_traits>

namespace cadre::detail {

using time_point = std::chrono::steady_clock::time_point;
inline constexpr time_point never = time_point::max();

/// When a wait of `limit` that starts now ends. Saturates: a year in milliseconds is fine, and so
/// is duration::max().
template <typename Rep, typename Period>
time_point deadline_after(std::chrono::duration<Rep, Period> limit) {
  using seconds = std::chrono::duration<double>;
  const time_point now = std::chrono::steady_clock::now();
  if (limit <= limit.zero()) return now;
  if (seconds{limit} >= seconds{never - now}) return never;
  return now + std::chrono::ceil<time_point::duration>(limit);
}

/// As deadline_after, for a point of any clock.
template <typename Clock, typename Duration>
time_point deadline_at(std::chrono::time_point<Clock, Duration> limit) {
  if constexpr (std::is_same_v<Clock, std::chrono::steady_clock>) {
    return std::chrono::time_point_cast<time_point::duration>(limit);
  } else {
    return deadline_after(limit - Clock::now());
  }
}

}  // namespace cadre::detail
