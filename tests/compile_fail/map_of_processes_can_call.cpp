// SPDX-License-Identifier: MIT
// expect: cadre: map cannot call the callable
// names: basic_string<char
#include <cadre/process_pool_executor.hpp>

#include <string>
#include <vector>

int twice(int n);

void use(cadre::process_pool_executor& pool) {
#ifdef CADRE_MUST_FAIL
  for (const int n : pool.map(&twice, std::vector<std::string>{"a"})) static_cast<void>(n);
#else
  for (const int n : pool.map(&twice, std::vector{1})) static_cast<void>(n);
#endif
}
