// SPDX-License-Identifier: MIT
// How much CPU does a pool use in a second in which nothing happens: without a call ("empty"),
// and with one call that sleeps while the caller waits for it ("one_call")?
#include <thread>

#include "peers.hpp"

namespace {

template <typename Second>
double cpu_percent(Second second) {
  const double before = bench::cpu_seconds();
  const double wall_ns = bench::elapsed_ns(second);
  return (bench::cpu_seconds() - before) / (wall_ns * 1e-9) * 100;
}

/// All workers have started, and had time to go to sleep, before each second.
template <typename Pool>
void measure(const bench::report& report) {
  using namespace std::chrono_literals;
  Pool pool;
  bench::on_every_worker(pool, [] {});
  std::this_thread::sleep_for(200ms);
  report("cpu_percent", cpu_percent([] { std::this_thread::sleep_for(1s); }), "empty");
  const auto sleep = [] { std::this_thread::sleep_for(1s); };
  report("cpu_percent", cpu_percent([&] { pool.submit(sleep).get(); }), "one_call");
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("idle", argc, argv,
                    {{"cadre", measure<bench::cadre_threads>},
                     {"boost_asio", measure<bench::boost_asio>},
                     {"tbb_task_group", measure<bench::tbb_task_group>},
                     {"tbb_arena", measure<bench::tbb_arena>},
                     {"eigen", measure<bench::eigen>}});
}
