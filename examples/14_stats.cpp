// SPDX-License-Identifier: MIT
// stats: what a pool has done and is doing.
#include <cadre/cadre.hpp>

#include <chrono>
#include <iostream>
#include <stdexcept>
#include <vector>

int main() {
  cadre::thread_pool_executor pool{2};
  std::vector<cadre::future<int>> futures;
  for (int i = 0; i < 1000; ++i) {
    futures.push_back(pool.submit([i] {
      if (i % 100 == 0) throw std::runtime_error{"every hundredth fails"};
      return i;
    }));
  }
  for (auto& f : futures) f.exception();  // waits, and takes note of the failure
  pool.shutdown();

  // [stats]
  using microseconds = std::chrono::duration<double, std::micro>;
  const cadre::executor_stats s = pool.stats();
  std::cout << s.submitted << " submitted, " << s.pending << " pending, " << s.running
            << " running, " << s.finished << " finished, " << s.failed << " failed, " << s.cancelled
            << " cancelled\n"
            << "99 % of the calls began within " << microseconds{s.queue_time.p99}.count()
            << " us and ran for at most " << microseconds{s.run_time.p99}.count() << " us\n";
  // [/stats]
  return s.submitted == 1000 && s.finished == 990 && s.failed == 10 && s.pending == 0 ? 0 : 1;
}
