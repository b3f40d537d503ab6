// SPDX-License-Identifier: MIT
// A pool that is told what to do while it works, and threads that are not the library's own.
#include <cadre/cadre.hpp>

#include <atomic>
#include <chrono>
#include <iostream>
#include <thread>
#include <vector>

long square(long n) { return n * n; }

int main() {
  std::atomic<int> written{0};
  const auto write_report = [&] { ++written; };

  // [control]
  cadre::thread_pool_executor pool{4};
  for (int i = 0; i < 100; ++i) pool.post(write_report);
  pool.wait_idle();  // all 100 are written

  pool.pause();  // from here on nothing begins
  pool.post(write_report);
  pool.resize(2);  // two workers are enough for the rest
  pool.resume();
  pool.wait_idle();
  // [/control]

  // [own_threads]
  cadre::manual_executor work;
  std::vector<std::thread> mine;
  for (int i = 0; i < 2; ++i) {
    mine.emplace_back([&] {
      // set up what calls find on this thread, then:
      work.run_until(std::chrono::steady_clock::time_point::max());
    });
  }
  const long result = work.submit(&square, 12L).get();
  work.shutdown();  // ends the two loops
  for (std::thread& each : mine) each.join();
  // [/own_threads]

  std::cout << written << ' ' << result << '\n';
  return written == 101 && result == 144 ? 0 : 1;
}
