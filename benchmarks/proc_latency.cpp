// SPDX-License-Identifier: MIT
// How long is one call int -> int on its way to a worker process and back, when the next follows at
// once?
#include <cadre/process_pool_executor.hpp>

#include "processes.hpp"

namespace {

int same(int n) { return n; }

template <typename Call>
void measure_calls(const bench::report& report, int calls, Call call) {
  std::vector<double> samples;
  for (int i = -calls / 10; i < calls; ++i) {
    const double ns = bench::elapsed_ns([&] { call(i); });
    if (i >= 0) samples.push_back(ns);
  }
  report("p50_ns", bench::percentile(samples, 0.5));
  report("p99_ns", bench::percentile(samples, 0.99));
}

void measure_cadre(const bench::report& report) {
  cadre::process_pool_executor pool{bench::workers};
  measure_calls(report, 50'000, [&](int i) { pool.submit(&same, i).get(); });
}

template <typename Workers>
void measure(const bench::report& report) {
  Workers peer;
  measure_calls(report, 20'000, [&](int i) {
    peer.send(0, std::as_bytes(std::span{&i, 1}));
    peer.receive(0, std::as_writable_bytes(std::span{&i, 1}));
  });
}

void measure_forks(const bench::report& report) {
  measure_calls(report, 500, [](int) { bench::forked([] {}); });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("proc_latency", argc, argv,
                    {{"cadre", measure_cadre},
                     {"pipe", measure<bench::pipe_workers>},
                     {"unix_socket", measure<bench::socket_workers>},
                     {"boost_mq", measure<bench::queue_workers>},
                     {"fork_per_call", measure_forks}});
}
