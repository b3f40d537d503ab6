// SPDX-License-Identifier: MIT
// expect: cadre: nobody can stop a posted call
#include <cadre/thread_pool_executor.hpp>

#include <stop_token>

void use(cadre::thread_pool_executor& pool) {
  const auto loop = [](std::stop_token stop) {
    while (!stop.stop_requested()) {
    }
  };
#ifdef CADRE_MUST_FAIL
  pool.post(loop);
#else
  static_cast<void>(pool.submit(loop));
#endif
}
