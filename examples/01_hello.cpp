// SPDX-License-Identifier: MIT
// Calls on threads, their results and their exceptions.
#include <cadre/cadre.hpp>

#include <iostream>
#include <ranges>
#include <stdexcept>

double simulate(int seed) {
  if (seed < 0) throw std::invalid_argument{"simulate: the seed is negative"};
  return seed * 0.5;
}

int main() {
  double total = 0;
  // [five-lines]
  cadre::thread_pool_executor pool;  // as many workers as usable CPUs, started on demand
  cadre::future<double> one = pool.submit(&simulate, 42);
  for (double y : pool.map(&simulate, std::views::iota(0, 100))) total += y;
  std::cout << one.get() << ' ' << total << '\n';
  // [/five-lines]

  // [exception]
  cadre::future<double> bad = pool.submit(&simulate, -1);
  try {
    std::cout << bad.get() << '\n';
  } catch (const std::invalid_argument& e) {  // what the call threw
    std::cout << e.what() << '\n';
  }
  // [/exception]
  return one.get() == 21 && total == 2475 ? 0 : 1;
}
