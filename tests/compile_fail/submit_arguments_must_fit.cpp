// SPDX-License-Identifier: MIT
// expect: cadre: the callable cannot be called with these arguments
#include <cadre/thread_pool_executor.hpp>

#include <string>

void use(cadre::thread_pool_executor& pool) {
#ifdef CADRE_MUST_FAIL
  pool.submit([](const std::string& text) { return text.size(); }, 42);
#else
  static_cast<void>(pool.submit([](const std::string& text) { return text.size(); }, "42"));
#endif
}
