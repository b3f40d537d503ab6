// SPDX-License-Identifier: MIT
// How near to ideal is a map of 10,000 elements of 20 us each over two worker processes?
#include <cadre/process_pool_executor.hpp>

#include <ranges>

#include "processes.hpp"

namespace {

constexpr int items = 10'000;
constexpr std::chrono::microseconds item{20};

int work(int n) {
  const auto end = bench::clock::now() + item;
  while (bench::clock::now() < end) {
  }
  return n;
}

void measure_cadre(const bench::report& report) {
  cadre::process_pool_executor pool{bench::workers};
  const double ns = bench::median_ns([&] {
    for (const int n : pool.map(&work, std::views::iota(0, items))) bench::keep(&n);
  });
  const double ideal =
      std::chrono::duration<double, std::nano>{item}.count() * items / bench::workers;
  report("efficiency", ideal / ns);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::run("proc_map", argc, argv, {{"cadre", measure_cadre}});
}
