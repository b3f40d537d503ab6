// SPDX-License-Identifier: MIT
// wait: until all are done, or the first is, or the first has failed.
#include <cadre/cadre.hpp>

#include <chrono>
#include <iostream>
#include <latch>
#include <stdexcept>
#include <vector>

int main() {
  using namespace std::chrono_literals;
  cadre::thread_pool_executor pool{4};
  std::latch release{1};

  // [first-completed]
  std::vector<cadre::future<int>> mirrors;
  mirrors.push_back(pool.submit([&] {
    release.wait();
    return 1;
  }));
  mirrors.push_back(pool.submit([] { return 2; }));

  auto [done, not_done] =
      cadre::wait(mirrors, {.return_when = cadre::return_when::first_completed});
  std::cout << "mirror " << done.front().get() << " was faster\n";
  // [/first-completed]

  // [first-exception]
  std::vector<cadre::future<void>> steps;
  steps.push_back(pool.submit([&] { release.wait(); }));
  steps.push_back(pool.submit([] { throw std::runtime_error{"disk full"}; }));

  auto failed = cadre::wait(steps, {.return_when = cadre::return_when::first_exception});
  for (const auto& f : failed.not_done) f.request_stop();
  // [/first-exception]

  // [timeout]
  // A timeout is no error: wait() tells how the futures stand.
  auto later = cadre::wait(mirrors, {.timeout = 10ms});
  // [/timeout]
  release.count_down();
  const bool first = done.size() == 1 && not_done.size() == 1 && later.not_done.size() == 1;
  const bool disk_full = failed.done.size() == 1 && failed.done.front().exception() != nullptr;
  return first && disk_full ? 0 : 1;
}
