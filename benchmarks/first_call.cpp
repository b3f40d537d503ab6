// SPDX-License-Identifier: MIT
// How long does the first call of a new pool take, from its submission to its result? The pool was made just
// before: cadre_prestarted and the peers have started their threads then.
#include <vector>

#include "peers.hpp"

namespace {

template <typename Make>
void measure(const bench::report& report, Make make) {
  std::vector<double> times;
  for (int i = 0; i < 200; ++i) {
    auto pool = make();
    times.push_back(bench::elapsed_ns([&] { pool->submit([] {}).get(); }));
  }
  report("p50_ns", bench::percentile(std::move(times), 0.5));
}

void measure_cadre(const bench::report& report) {
  measure(report, [] {
    return std::make_unique<cadre::thread_pool_executor>(
        cadre::thread_pool_options{.max_workers = bench::workers});
  });
}

void measure_prestarted(const bench::report& report) {
  measure(report, [] {
    return std::make_unique<cadre::thread_pool_executor>(
        cadre::thread_pool_options{.max_workers = bench::workers, .prestart = true});
  });
}

void measure_asio(const bench::report& report) {
  measure(report, [] { return std::make_unique<bench::boost_asio>(); });
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("first_call", argc, argv,
                    {{"cadre", measure_cadre},
                     {"cadre_prestarted", measure_prestarted},
                     {"boost_asio", measure_asio}});
}
