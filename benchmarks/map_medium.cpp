// SPDX-License-Identifier: MIT
// How near the ideal comes map over 10,000 items of about 20 us integer work each?
#include <cstdint>
#include <numeric>

#include "map.hpp"

namespace {

/// A chain of multiplications that the compiler cannot shorten; 20 us on a CPU of 3 GHz.
std::uint64_t work(std::uint64_t x) {
  for (int i = 0; i < 12'000; ++i) x = x * 6364136223846793005u + 1442695040888963407u;
  return x;
}

template <template <typename> typename Map>
void measure(const bench::report& report) {
  std::vector<std::uint64_t> input(10'000);
  std::iota(input.begin(), input.end(), 0u);
  bench::measure_map<Map>(report, work, input);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("map_medium", argc, argv,
                    {{"cadre", measure<bench::cadre_map>},
                     {"cadre_caller_runs", measure<bench::cadre_caller_runs_map>},
                     {"tbb_parallel_for", measure<bench::tbb_map>},
                     {"serial", measure<bench::serial_map>}});
}
