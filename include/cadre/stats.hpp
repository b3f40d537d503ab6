// SPDX-License-Identifier: MIT
// executor_stats: what an executor has done and is doing, at one moment.
//
//     const cadre::executor_stats s = pool.stats();
//     std::cout << s.pending << " pending, p99 queue time " << s.queue_time.p99 << '\n';
//
// The counts come from several threads without stopping them: between two numbers of one snapshot a
// call may have moved on. When nothing runs they are exact, and
//     submitted = pending + running + finished + failed + cancelled.
#pragma once

#include <chrono>
#include <cstdint>

namespace cadre {

/// Quantiles from a histogram whose buckets double: each is the upper edge of its bucket, so at
/// most twice too high. Fast calls are sampled.
struct duration_summary {
  std::uint64_t samples = 0;
  std::chrono::nanoseconds p50{};
  std::chrono::nanoseconds p95{};
  std::chrono::nanoseconds p99{};
};

struct executor_stats {
  std::uint64_t submitted = 0;  ///< calls accepted so far; map counts its chunks
  std::uint64_t pending = 0;    ///< not begun, not cancelled
  std::uint64_t running = 0;    ///< a worker has them
  std::uint64_t finished = 0;   ///< returned
  std::uint64_t failed = 0;     ///< threw
  std::uint64_t cancelled = 0;  ///< cancelled before they began
  unsigned workers = 0;         ///< threads that exist
  unsigned idle = 0;            ///< of these, with nothing to run
  duration_summary queue_time;  ///< from submit to the begin of the call
  duration_summary run_time;    ///< from there to its end
};

}  // namespace cadre
