// SPDX-License-Identifier: MIT
// max_pending: a producer faster than the workers does not fill the memory.
#include <cadre/cadre.hpp>

#include <algorithm>
#include <atomic>
#include <iostream>
#include <latch>
#include <vector>

int main() {
  std::atomic<int> begun = 0;
  int most = 0;
  {
    // [block]
    cadre::thread_pool_executor pool{{.max_workers = 2, .max_pending = 100}};
    std::vector<cadre::future<int>> futures;
    for (int i = 0; i < 10'000; ++i) {
      futures.push_back(pool.submit([&begun] { return ++begun; }));  // waits while 100 are pending
      most = std::max(most, i + 1 - begun);
    }
    // [/block]
  }
  std::cout << "at most " << most << " calls were pending or about to begin\n";

  int refused = 0;
  {
    // [reject]
    cadre::thread_pool_executor pool{
        {.max_workers = 1, .max_pending = 1, .when_full = cadre::when_full::reject}};
    std::latch taken{1}, release{1};
    pool.post([&] {
      taken.count_down();
      release.wait();
    });
    taken.wait();
    pool.post([] {});  // the one that may be pending
    try {
      pool.post([] {});
    } catch (const cadre::queue_full& e) {
      std::cout << e.what() << '\n';
      ++refused;
    }
    release.count_down();
    // [/reject]
  }
  return begun == 10'000 && most <= 100 + 2 && refused == 1 ? 0 : 1;
}
