// SPDX-License-Identifier: MIT
// What does a loop without results cost: long ones of almost nothing, and one that is over before a worker
// wakes?
#include <oneapi/tbb/parallel_for.h>

#include <functional>

#include "peers.hpp"

namespace {

/// Runs the loop alone.
struct serial_loop {
  template <typename Body>
  [[gnu::noinline]] void operator()(std::size_t count, const Body& body) {
    for (std::size_t i = 0; i < count; ++i) body(i);
  }
};

/// The caller is one of the two threads, here and in the next.
struct tbb_loop {
  tbb::task_arena arena{bench::workers};

  template <typename Body>
  void operator()(std::size_t count, const Body& body) {
    arena.execute([&] { tbb::parallel_for(std::size_t{0}, count, body); });
  }
};

struct cadre_loop {
  cadre::thread_pool_executor pool{{.max_workers = bench::workers}};

  template <typename Body>
  void operator()(std::size_t count, const Body& body) {
    pool.for_each(count, body);
  }
};

/// A map of a callable without a result, for comparison.
struct cadre_map_loop {
  cadre::thread_pool_executor pool{{.max_workers = bench::workers}};

  template <typename Body>
  void operator()(std::size_t count, const Body& body) {
    pool.map({.ordered = false, .caller_runs = true}, body, std::views::iota(std::size_t{0}, count))
        .wait();
  }
};

/// In turn with the serial loop, for half a second, so that both meet the same machine.
template <typename Loop, typename Body>
void compare(const bench::report& report, const char* variant, std::size_t count,
             const Body& body) {
  serial_loop serial;
  Loop loop;
  std::vector<double> serial_ns;
  std::vector<double> loop_ns;
  const auto end = bench::clock::now() + std::chrono::milliseconds{500};
  loop(count, body);
  do {
    serial_ns.push_back(bench::elapsed_ns([&] { serial(count, body); }));
    loop_ns.push_back(bench::elapsed_ns([&] { loop(count, body); }));
  } while (bench::clock::now() < end);
  const double took = bench::percentile(std::move(loop_ns), 0.5);
  report("ns_per_element", took / static_cast<double>(count), variant);
  report("times_serial", took / bench::percentile(std::move(serial_ns), 0.5), variant);
}

template <typename Loop>
void measure(const bench::report& report) {
  std::vector<double> values(1'000'000);
  const auto update = [at = values.data()](std::size_t i) {
    at[i] = at[i] * 0.5 + static_cast<double>(i);
  };
  compare<Loop>(report, "1M", values.size(), update);
  compare<Loop>(report, "1k", 1'000, update);
  const auto nothing = [](std::size_t i) { bench::keep(reinterpret_cast<const void*>(i)); };
  compare<Loop>(report, "1M empty", values.size(), nothing);
  compare<Loop>(report, "10k empty", 10'000, nothing);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("for_each", argc, argv,
                    {{"cadre", measure<cadre_loop>},
                     {"cadre_map", measure<cadre_map_loop>},
                     {"tbb_parallel_for", measure<tbb_loop>},
                     {"serial", measure<serial_loop>}});
}
