// SPDX-License-Identifier: MIT
// executor_stats: what an executor has done and is doing, at one moment.
//
//     const cadre::executor_stats s = pool.stats();
//     std::cout << s.pending << " pending, p99 queue time " << s.queue_time.p99 << '\n';
//     if (!s.broken.empty()) restart(s.broken);
//
// The counts come from several threads without stopping them: between two numbers of one snapshot a
// call may have moved on. When nothing runs they are exact, and
//     submitted = pending + running + finished + failed + cancelled.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace cadre {

/// Quantiles from a histogram whose buckets double: each is the upper edge of its bucket, so at
/// most twice too high. Fast calls are sampled.
struct duration_summary {
  static constexpr std::size_t bucket_count = 41;

  std::uint64_t samples = 0;
  std::chrono::nanoseconds p50{};
  std::chrono::nanoseconds p95{};
  std::chrono::nanoseconds p99{};
  std::chrono::nanoseconds p99_9{};
  /// The histogram: buckets[0] counts what took no nanosecond, buckets[i] what took from 2^(i-1) up to but
  /// not 2^i of them; the last one also what took longer, from 9 minutes on.
  std::array<std::uint64_t, bucket_count> buckets{};
};

struct executor_stats {
  std::uint64_t submitted = 0;  ///< calls accepted so far; map counts its chunks
  std::uint64_t pending = 0;    ///< not begun, not cancelled
  std::uint64_t running = 0;    ///< a worker has them
  std::uint64_t finished = 0;   ///< returned; chunks of map also if an element threw
  std::uint64_t failed = 0;     ///< threw, or their worker died
  std::uint64_t cancelled = 0;  ///< cancelled before they began, or expired in the queue
  unsigned workers = 0;         ///< threads or processes that exist
  unsigned idle = 0;            ///< of these, with nothing to run
  // Of executors with worker processes; 0 for others:
  std::uint64_t workers_started = 0;  ///< processes, those that replaced others among them
  std::uint64_t worker_deaths = 0;    ///< that ended without being told to, or of a time limit
  std::uint64_t timed_out = 0;        ///< calls that ran longer than their `timeout`
  std::uint64_t retried = 0;          ///< runs that were given away again since their worker died
  std::string broken = {};            ///< why the executor is; empty: it is not
  duration_summary queue_time;        ///< from submit to the begin of the call
  duration_summary run_time;          ///< from there to its end; not of calls whose worker died
};

}  // namespace cadre
