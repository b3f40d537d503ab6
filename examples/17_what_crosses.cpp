// SPDX-License-Identifier: MIT
// Calls that can leave the process: the same on threads, processes and clusters.
#include <cadre/cadre.hpp>

#include <map>
#include <numeric>
#include <string>
#include <vector>

// [struct]
struct survey {
  std::string region;
  std::vector<double> samples;
  std::map<std::string, int> votes;
};

double mean(const survey& s) {
  return std::reduce(s.samples.begin(), s.samples.end()) / static_cast<double>(s.samples.size());
}
// [/struct]

// [functor]
struct scale {
  double factor;
  double operator()(double x) const { return factor * x; }
};

double power(int exponent, double x) { return exponent == 0 ? 1 : x * power(exponent - 1, x); }
// [/functor]

int main() {
  const auto any = cadre::make_executor("threads:2");
  // [calls]
  auto average = any->submit(&mean, survey{"north", {1, 2, 3}, {{"yes", 2}}});
  auto scaled = any->submit(scale{2.5}, 4.0);
  auto cubes = any->map(cadre::bind(&power, 3), std::vector{1.0, 2.0});
  // [/calls]
  double sum = 0;
  for (double cube : cubes) sum += cube;

  return average.get() == 2 && scaled.get() == 10 && sum == 9 ? 0 : 1;
}
