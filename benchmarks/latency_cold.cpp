// SPDX-License-Identifier: MIT
// How long is one empty call on its way, there and back, when the pool slept for 1 ms before?
#include "latency.hpp"

namespace {

/// std_async has the variant "free" only: its thread is new, on the CPUs of the caller.
template <typename Pool>
void measure_free(const bench::report& report) {
  bench::measure_latency<Pool>(report, "free", 1'000, std::chrono::milliseconds{1});
}

template <typename Pool>
void measure(const bench::report& report) {
  measure_free<Pool>(report);
  for (const char* variant : {"x", "crowded", "one_busy"}) {
    bench::measure_latency<Pool>(report, variant, 1'000, std::chrono::milliseconds{1});
  }
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("latency_cold", argc, argv,
                    {{"cadre", measure<bench::cadre_threads>},
                     {"futex_ping_pong", measure<bench::futex_ping_pong>},
                     {"boost_asio", measure<bench::boost_asio>},
                     {"tbb_task_group", measure<bench::tbb_task_group>},
                     {"tbb_arena", measure<bench::tbb_arena>},
                     {"eigen", measure<bench::eigen>},
                     {"std_async", measure_free<bench::std_async>}});
}
