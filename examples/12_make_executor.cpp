// SPDX-License-Identifier: MIT
// The executor chosen at run time, by one string.
//
//     CADRE_EXECUTOR=threads:8 ./12_make_executor
#include <cadre/cadre.hpp>

#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <ranges>
#include <stdexcept>

// [make]
double area(double radius) { return 3.14159 * radius * radius; }

double total_area(cadre::executor& executor) {
  double sum = 0;
  for (double a : executor.map(&area, std::views::iota(0, 10))) sum += a;
  return sum;
}

int main() {
  std::unique_ptr<cadre::executor> chosen = cadre::make_executor(std::getenv("CADRE_EXECUTOR"));
  const double sum = total_area(*chosen);
  // [/make]
  std::cout << sum << '\n';

  bool refused = false;
  // [unknown]
  try {
    cadre::make_executor("treads:8");
  } catch (const std::invalid_argument& e) {  // names the valid ones
    std::cout << e.what() << '\n';
    refused = true;
  }
  // [/unknown]
  const double same = total_area(*cadre::make_executor("inline"));
  return sum == same && refused ? 0 : 1;
}
