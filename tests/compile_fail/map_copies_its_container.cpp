// SPDX-License-Identifier: MIT
// expect: cadre: map copies a container that is an lvalue, and this one cannot be copied
#include <cadre/thread_pool_executor.hpp>

#include <memory>
#include <utility>
#include <vector>

struct inputs {
  inputs(inputs&&) = default;
  std::vector<int> numbers;
  auto begin() const { return numbers.begin(); }
  auto end() const { return numbers.end(); }
};

void use(cadre::thread_pool_executor& pool, inputs numbers) {
  const auto twice = [](int n) { return 2 * n; };
#ifdef CADRE_MUST_FAIL
  static_cast<void>(pool.map(twice, numbers));
#else
  static_cast<void>(pool.map(twice, std::move(numbers)));
#endif
}
