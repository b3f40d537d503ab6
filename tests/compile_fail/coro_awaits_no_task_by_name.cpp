// SPDX-License-Identifier: MIT
// expect: a task can be awaited once, which uses it up
#include <cadre/coro.hpp>

#include <utility>

cadre::task<int> twice(cadre::task<int> once) {
#ifdef CADRE_MUST_FAIL
  co_return co_await once;
#else
  co_return co_await std::move(once);
#endif
}
