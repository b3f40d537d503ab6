// SPDX-License-Identifier: MIT
// expect: use std::ref for a reference
#include <cadre/thread_pool_executor.hpp>

#include <functional>

void use(cadre::thread_pool_executor& pool, int& counter) {
#ifdef CADRE_MUST_FAIL
  pool.submit([](int& n) { ++n; }, counter);
#else
  static_cast<void>(pool.submit([](int& n) { ++n; }, std::ref(counter)));
#endif
}
