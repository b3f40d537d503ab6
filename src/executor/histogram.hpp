// SPDX-License-Identifier: MIT
// Durations in buckets that double, from 1 ns to 18 minutes. One writer, any readers.
#pragma once

#include <cadre/detail/atomic.hpp>
#include <cadre/stats.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace cadre::detail {

class histogram {
 public:
  static constexpr std::size_t buckets = duration_summary::bucket_count;
  using counts = std::array<std::uint64_t, buckets>;

  /// `weight` calls took `ns` nanoseconds.
  void add(std::uint64_t ns, std::uint64_t weight) noexcept {
    auto& count = counts_[std::min<std::size_t>(std::bit_width(ns), buckets - 1)];
    // relaxed, both: one writer; statistics order nothing.
    count.store(count.load(std::memory_order_relaxed) + weight, std::memory_order_relaxed);
  }

  void add_to(counts& sum) const noexcept {
    // relaxed: statistics order nothing.
    for (std::size_t i = 0; i < buckets; ++i) sum[i] += counts_[i].load(std::memory_order_relaxed);
  }

 private:
  std::array<sync::atomic<std::uint64_t>, buckets> counts_{};
};

/// One call in so many is to be measured, and counts for all of them, if one took `ns`: the clock costs
/// as much as a fast one.
constexpr std::uint32_t sampling_period(std::uint64_t ns) noexcept { return ns < 2000 ? 32 : 1; }

inline duration_summary summarise(const histogram::counts& counts) noexcept {
  duration_summary summary;
  summary.buckets = counts;
  for (const std::uint64_t n : counts) summary.samples += n;
  const auto quantile = [&](std::uint64_t per_mille) {
    const std::uint64_t rank = (summary.samples * per_mille + 999) / 1000;
    std::uint64_t seen = 0;
    std::size_t i = 0;
    while (i < counts.size() && (seen += counts[i]) < rank) ++i;
    return std::chrono::nanoseconds{rank == 0 ? 0 : std::int64_t{1} << i};
  };
  summary.p50 = quantile(500);
  summary.p95 = quantile(950);
  summary.p99 = quantile(990);
  summary.p99_9 = quantile(999);
  return summary;
}

inline duration_summary summarise(const histogram& times) noexcept {
  histogram::counts counts{};
  times.add_to(counts);
  return summarise(counts);
}

}  // namespace cadre::detail
