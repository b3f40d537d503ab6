// SPDX-License-Identifier: MIT
// Futures in an event loop of one's own: here poll(2), which also waits for other descriptors.
#include <cadre/cadre.hpp>

#include <poll.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <vector>

long square(long n) { return n * n; }

int main() {
  cadre::thread_pool_executor pool{2};
  long sum = 0;
  int failures = 0;
  std::vector<std::uint64_t> keys;

  // [loop]
  cadre::completion_queue done;
  done.watch(pool.submit(&square, 6L), [&](cadre::future<long> f) { sum += f.get(); });
  done.watch(pool.submit([] { throw std::runtime_error{"no luck"}; }),
             [&](cadre::future<void> f) { failures += f.exception() != nullptr; });
  done.watch(pool.submit(&square, 7L), 1007);  // a key instead of a callback

  while (done.size() > 0) {
    pollfd readable{.fd = done.native_handle(), .events = POLLIN, .revents = 0};
    ::poll(&readable, 1, -1);
    done.drain();  // callbacks run here, on the loop's thread
    while (std::optional<std::uint64_t> key = done.next_key()) keys.push_back(*key);
  }
  // [/loop]

  // [manual]
  cadre::manual_executor ui;
  long shown = 0;
  const auto drawn = pool.submit(&square, 8L).then(ui, [&](long n) { shown = n; });
  while (!drawn.done()) {
    // poll the events of the window, draw, and then:
    ui.run_for(std::chrono::milliseconds{2});
  }
  // [/manual]
  std::cout << sum << ' ' << failures << ' ' << keys.size() << '\n';
  return shown == 64 && sum == 36 && failures == 1 && keys == std::vector<std::uint64_t>{1007} ? 0
                                                                                               : 1;
}
