// SPDX-License-Identifier: MIT
// A shutdown that does not wait for ever: drain, then ask to stop, then report what still runs.
#include <cadre/cadre.hpp>

#include <chrono>
#include <iostream>
#include <latch>
#include <stop_token>

int main() {
  using namespace std::chrono_literals;
  cadre::thread_pool_executor pool{2};
  std::latch begun{2}, release{1};

  // [shutdown]
  auto polite = pool.submit({.name = "polite"}, [&](std::stop_token stop) {
    begun.count_down();
    while (!stop.stop_requested()) {
    }
  });
  auto stubborn = pool.submit({.name = "stubborn"}, [&] {
    begun.count_down();
    release.wait();
  });
  begun.wait();
  auto pending = pool.submit([] { return 1; });

  cadre::shutdown_report report = pool.shutdown({.deadline = 50ms, .grace = 50ms});
  for (const auto& name : report.names) std::cout << name << " still runs\n";
  // [/shutdown]

  const bool as_told = !report.complete && report.still_running == 1 && polite.done() &&
                       !stubborn.done() && pending.cancelled();
  // [refused]
  try {
    pool.post([] {});
    return 1;
  } catch (const cadre::shutdown_error& e) {
    std::cout << e.what() << '\n';
  }
  // [/refused]
  release.count_down();  // or the destructor would wait for it
  return as_told ? 0 : 1;
}
