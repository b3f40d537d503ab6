// SPDX-License-Identifier: MIT
// The work of map_tiny, map_small and map_medium: all results into a container, then their sum.
#pragma once

#include <oneapi/tbb/parallel_for.h>

#include <span>

#include "peers.hpp"

namespace bench {

// Not inlined, so that every implementation runs the same instructions here: g++ 12 keeps a total in
// memory, and takes twice as long, where the loop around it calls something.
template <typename T>
[[gnu::noinline]] T sum_of(std::span<const T> values, T total = {}) {
  for (const T value : values) total += value;
  return total;
}

/// What everybody else's results go into; allocated once, as a user with a loop would.
template <typename T>
class results_buffer {
 public:
  explicit results_buffer(std::size_t size) : values_(size) {}

  T& operator[](std::size_t i) { return values_[i]; }

  T sum() const { return sum_of<T>(values_); }

 private:
  std::vector<T> values_;
};

template <typename T>
class serial_map {
 public:
  explicit serial_map(std::size_t size) : results_{size} {}

  template <typename F>
  [[gnu::noinline]] T operator()(F f, const std::vector<T>& input) {
    for (std::size_t i = 0; i < input.size(); ++i) results_[i] = f(input[i]);
    return results_.sum();
  }

 private:
  results_buffer<T> results_;
};

/// The caller is one of the two threads.
template <typename T>
class tbb_map {
 public:
  explicit tbb_map(std::size_t size) : results_{size} {}

  template <typename F>
  T operator()(F f, const std::vector<T>& input) {
    arena_.execute([&] {
      tbb::parallel_for(std::size_t{0}, input.size(),
                        [&](std::size_t i) { results_[i] = f(input[i]); });
    });
    return results_.sum();
  }

 private:
  tbb::task_arena arena_{workers};
  results_buffer<T> results_;
};

/// Passes a view, as it must outlive the map anyway: an lvalue container would be copied, which
/// oneTBB's loop, with its reference to the input, does not do either.
template <typename T>
class cadre_map {
 public:
  explicit cadre_map(std::size_t) {}

  template <typename F>
  T operator()(F f, const std::vector<T>& input) {
    T total{};
    for (const T result : pool_.map(f, std::span{input})) total += result;
    return total;
  }

 private:
  cadre::thread_pool_executor pool_{{.max_workers = workers}};
};

/// As cadre_map, but takes the results a chunk at a time, and with options.
template <typename T, bool caller_runs>
class chunks_map {
 public:
  explicit chunks_map(std::size_t) {}

  template <typename F>
  T operator()(F f, const std::vector<T>& input) {
    T total{};
    auto results = pool_.map({.caller_runs = caller_runs}, f, std::span{input});
    for (auto chunk = results.next_chunk(); !chunk.empty(); chunk = results.next_chunk()) {
      total = sum_of<T>(chunk, total);
    }
    return total;
  }

 private:
  cadre::thread_pool_executor pool_{{.max_workers = workers}};
};

template <typename T>
using cadre_chunks_map = chunks_map<T, false>;
/// The caller is one of the two threads.
template <typename T>
using cadre_caller_runs_map = chunks_map<T, true>;

/// Runs serial and parallel rounds in turn for a second, so that both meet the same machine.
template <template <typename> typename Map, typename T, typename F>
void measure_map(const report& report, F f, const std::vector<T>& input) {
  serial_map<T> serial{input.size()};
  Map<T> parallel{input.size()};
  std::vector<double> serial_ns;
  std::vector<double> parallel_ns;
  const auto round = [&] {
    T expected{};
    T actual{};
    serial_ns.push_back(elapsed_ns([&] { expected = serial(f, input); }));
    parallel_ns.push_back(elapsed_ns([&] { actual = parallel(f, input); }));
    if (actual == expected) return;
    std::fprintf(stderr, "the sums of the serial and the parallel results differ\n");
    std::exit(EXIT_FAILURE);
  };

  round();
  serial_ns.clear();
  parallel_ns.clear();
  const auto end = clock::now() + std::chrono::seconds{1};
  do {
    round();
  } while (clock::now() < end);

  const double ms = percentile(std::move(parallel_ns), 0.5) * 1e-6;
  const double speedup = percentile(std::move(serial_ns), 0.5) * 1e-6 / ms;
  report("ms", ms);
  report("speedup", speedup);
  report("efficiency", speedup / workers);
}

}  // namespace bench
