// SPDX-License-Identifier: MIT
// Calls that wait for calls of their own pool. With one worker, too.
#include <cadre/cadre.hpp>

#include <iostream>
#include <latch>

// [fib]
long fib(cadre::thread_pool_executor& pool, int n) {
  if (n < 2) return n;
  // On a worker, get() of a call that nobody has begun runs it here and now.
  cadre::future<long> left = pool.submit([&pool, n] { return fib(pool, n - 1); });
  const long right = fib(pool, n - 2);
  return left.get() + right;
}
// [/fib]

int main() {
  cadre::thread_pool_executor pool{1};
  const long result = pool.submit([&pool] { return fib(pool, 20); }).get();
  std::cout << result << '\n';

  bool found = false;
  // [deadlock]
  // A wait that could never end throws, in the call whose wait closes the circle.
  cadre::future<void> self;
  std::latch known{1};
  self = pool.submit([&] {
    known.wait();
    self.get();
  });
  known.count_down();
  try {
    self.get();
  } catch (const cadre::deadlock_error& e) {
    std::cout << e.what() << '\n';
    found = true;
  }
  // [/deadlock]
  return result == 6765 && found ? 0 : 1;
}
