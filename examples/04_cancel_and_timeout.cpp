// SPDX-License-Identifier: MIT
// A call that has not begun can be cancelled; a wait can have a limit, and so can a call.
#include <cadre/cadre.hpp>

#include <atomic>
#include <chrono>
#include <iostream>
#include <latch>

int main() {
  using namespace std::chrono_literals;
  cadre::thread_pool_executor pool{1};
  std::latch release{1};
  std::atomic<bool> ran = false;
  bool timed_out = false;
  bool expired = false;

  auto running = pool.submit([&] {
    release.wait();
    return 42;
  });
  auto pending = pool.submit([&] { ran = true; });  // behind it: there is one worker

  // [cancel]
  pending.cancel();  // true: it is done now, and will never run
  try {
    pending.get();
  } catch (const cadre::cancelled_error& e) {
    std::cout << e.what() << '\n';
  }
  // [/cancel]

  // [expires]
  auto quote = pool.submit({.name = "quote", .expires_in = 5ms}, [] { return 42; });
  try {
    std::cout << quote.get() << '\n';
  } catch (const cadre::timeout_error& e) {  // it was queued for longer than that, and did not run
    std::cout << e.what() << '\n';
    expired = true;
  }
  // [/expires]

  // [timeout]
  try {
    running.get_for(10ms);
  } catch (const cadre::timeout_error& e) {  // the call goes on
    std::cout << e.what() << '\n';
    timed_out = true;
  }
  release.count_down();
  std::cout << running.get() << '\n';  // the same future, asked again
  // [/timeout]
  return timed_out && expired && pending.cancelled() && !ran && running.get() == 42 ? 0 : 1;
}
