// SPDX-License-Identifier: MIT
// A user's program: only what the documentation promises.
#include <cadre/cadre.hpp>

#include <iostream>

int main() {
  cadre::thread_pool_executor pool{{.max_workers = 2}};
  cadre::future<int> answer = pool.submit([](int n) { return n * 7; }, 6);
  std::cout << answer.get() << '\n';
  try {
    pool.submit([]() -> int { throw cadre::timeout_error{"thrown in the user's program"}; }).get();
  } catch (const cadre::error& e) {  // crosses the boundary of a shared library by its type
    return answer.get() == 42 ? 0 : 1;
  }
  return 1;
}
