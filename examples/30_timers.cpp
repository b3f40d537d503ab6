// SPDX-License-Identifier: MIT
// Calls later, at a time, and again and again.
#include <cadre/cadre.hpp>

#include <chrono>
#include <iostream>
#include <latch>
#include <string>

using namespace std::chrono_literals;

int main() {
  cadre::thread_pool_executor pool{2};

  // [once]
  auto reminder = cadre::submit_after(pool, 50ms, [] { return std::string{"tea is ready"}; });
  auto tomorrow = cadre::submit_at(pool, std::chrono::system_clock::now() + 24h, [] {});
  tomorrow.cancel();  // it will never run, and what it captured is gone now
  std::cout << reminder.get() << '\n';
  // [/once]

  // [every]
  std::latch beats{3};
  auto heartbeat = cadre::submit_every(pool, 10ms, [&, n = 0]() mutable {
    if (n++ < 3) beats.count_down();
  });
  auto cleaning = cadre::submit_every(
      pool, {.period = 1h, .repeat = cadre::repeat::fixed_delay, .first_after = 0s},
      [](std::stop_token stop) { return stop.stop_requested(); });
  beats.wait();
  heartbeat.cancel();
  // [/every]

  // [series]
  int left = 3;
  auto countdown = cadre::submit_every(
      pool, 5ms, [&left] { return --left == 0 ? cadre::series::ends : cadre::series::goes_on; });
  countdown.get();
  auto trace = cadre::submit_every(pool, {.period = 5ms, .runs = 100}, [&left] { ++left; });
  cadre::cancel_and_wait(trace);  // none runs any more, so `left` may go
  // [/series]

  // [end]
  pool.shutdown();
  try {
    cleaning.get();
  } catch (const cadre::shutdown_error& e) {
    std::cout << e.what() << '\n';
  }
  // [/end]
  return heartbeat.cancelled() && tomorrow.cancelled() && cleaning.done() ? 0 : 1;
}
