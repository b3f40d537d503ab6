// SPDX-License-Identifier: MIT
// expect: a coroutine cannot cross to another process
#include <cadre/coro.hpp>
#include <cadre/process_pool_executor.hpp>
#include <cadre/thread_pool_executor.hpp>

cadre::task<> work() { co_return; }

#ifdef CADRE_MUST_FAIL
void start(cadre::process_pool_executor& pool) { cadre::spawn(pool, work()); }
#else
void start(cadre::thread_pool_executor& pool) { static_cast<void>(cadre::spawn(pool, work())); }
#endif
