// SPDX-License-Identifier: MIT
// Memory that worker processes see in place: a large input to read, an output to fill.
#include <cadre/cadre.hpp>

#include <cstddef>
#include <functional>
#include <numeric>
#include <vector>

// [calls]
double sum(cadre::shared_span<const double> part) {
  return std::accumulate(part.begin(), part.end(), 0.0);
}

void square(cadre::shared_span<const double> from, cadre::shared_span<double> to) {
  for (std::size_t i = 0; i < from.size(); ++i) to[i] = from[i] * from[i];
}

cadre::shared_span<const double> ramp(std::size_t count) {
  cadre::shared_buffer<double> made{count};
  std::iota(made.begin(), made.end(), 0.0);
  return made.share();
}
// [/calls]

int main() {
  constexpr std::size_t count = 100'000;
  constexpr std::size_t half = count / 2;
  cadre::process_pool_executor pool{2};

  // [use]
  cadre::shared_buffer<double> input{count};
  cadre::shared_buffer<double> output{count, cadre::shared_access::everyone};
  for (std::size_t i = 0; i < count; ++i) input[i] = 2;

  std::vector<cadre::future<void>> parts;
  for (const std::size_t at : {std::size_t{0}, half}) {
    parts.push_back(pool.submit(&square, input.share().subspan(at, half),
                                output.share_writable().subspan(at, half)));
  }
  for (auto& part : parts) part.get();
  auto total = pool.submit(&sum, output.share());
  auto made = pool.submit(&ramp, 1001);  // 8 kB here; gigabytes take as long to arrive
  // [/use]

  return total.get() == 4.0 * count && sum(made.get()) == 500'500 ? 0 : 1;
}
