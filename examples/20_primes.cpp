// SPDX-License-Identifier: MIT
// The example of Python's ProcessPoolExecutor: which of these numbers are prime?
#include <cadre/cadre.hpp>

#include <cstddef>
#include <cstdint>
#include <iostream>
#include <vector>

// [primes]
bool is_prime(std::int64_t n) {
  if (n < 2) return false;
  if (n % 2 == 0) return n == 2;
  for (std::int64_t i = 3; i * i <= n; i += 2) {
    if (n % i == 0) return false;
  }
  return true;
}

int main() {
  const std::vector<std::int64_t> numbers{112272535095293, 112582705942171, 112272535095293,
                                          115280095190773, 115797848077099, 1099726899285419};
  std::vector<bool> found;
  cadre::process_pool_executor pool;
  for (const bool prime : pool.map(&is_prime, numbers)) {
    std::cout << numbers[found.size()] << " is prime: " << std::boolalpha << prime << '\n';
    found.push_back(prime);
  }
  // [/primes]
  return found == std::vector{true, true, true, true, true, false} ? 0 : 1;
}
