// SPDX-License-Identifier: MIT
// expect: cadre: the result of a call must be movable, a reference or void
// names: immovable
#include <cadre/thread_pool_executor.hpp>

struct immovable {
  immovable() = default;
  immovable(const immovable&) = delete;
};

void use(cadre::thread_pool_executor& pool, immovable& object) {
#ifdef CADRE_MUST_FAIL
  static_cast<void>(object);
  pool.submit([] { return immovable{}; });
#else
  static_cast<void>(pool.submit([&object]() -> immovable& { return object; }));
#endif
}
