// SPDX-License-Identifier: MIT
// expect: give that a promise, and await its future
#include <cadre/coro.hpp>
#include <cadre/promise.hpp>

#include <coroutine>

cadre::task<> wait(cadre::promise<void>& done) {
#ifdef CADRE_MUST_FAIL
  static_cast<void>(done);
  co_await std::suspend_always{};
#else
  auto f = done.get_future();
  co_await f;
#endif
}
