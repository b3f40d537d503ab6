// SPDX-License-Identifier: MIT
// expect: cadre: for_each cannot call the callable
// names: basic_string<char
#include <cadre/thread_pool_executor.hpp>

#include <string>
#include <vector>

void use(cadre::thread_pool_executor& pool, std::vector<std::string>& texts) {
#ifdef CADRE_MUST_FAIL
  pool.for_each(texts, [](int n) { static_cast<void>(n); });
#else
  pool.for_each(texts, [](const std::string& text) { static_cast<void>(text); });
#endif
}
