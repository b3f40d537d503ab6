// SPDX-License-Identifier: MIT
// What a plug-in does with cadre between dlopen() and dlclose().
#include <cadre/cadre.hpp>

#include <chrono>
#include <stdexcept>
#include <vector>

extern "C" __attribute__((visibility("default"))) int answer() {
  using namespace std::chrono_literals;
  cadre::thread_pool_executor pool{2};
  int sum = 0;
  for (const int n : pool.map([](int i) { return 2 * i; }, std::vector{1, 2, 3})) sum += n;
  // The thread of all timers lives a moment longer than they do.
  sum += cadre::submit_after(pool, 1ms, [] { return 20; }).get();
  auto late = pool.submit({.expires_in = 1h}, [] { return 10; });
  sum += late.get();
  try {
    pool.submit([]() -> int { throw std::out_of_range{"a"}; }).get();
  } catch (const std::out_of_range&) {
    cadre::process_pool_executor processes{1};
    return processes.submit([](int n) { return n; }, sum).get();
  }
  return 0;
}
