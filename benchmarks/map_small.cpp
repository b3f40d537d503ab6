// SPDX-License-Identifier: MIT
// Does map know when work is too small? 1,000 items of about 1 ns are done before a worker wakes.
#include <numeric>

#include "map.hpp"

namespace {

template <template <typename> typename Map>
void measure(const bench::report& report) {
  std::vector<double> input(1'000);
  std::iota(input.begin(), input.end(), 0.0);
  bench::measure_map<Map>(
      report, [](double x) { return x * x + 1; }, input);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("map_small", argc, argv,
                    {{"cadre", measure<bench::cadre_map>},
                     {"cadre_chunks", measure<bench::cadre_chunks_map>},
                     {"cadre_caller_runs", measure<bench::cadre_caller_runs_map>},
                     {"tbb_parallel_for", measure<bench::tbb_map>},
                     {"serial", measure<bench::serial_map>}});
}
