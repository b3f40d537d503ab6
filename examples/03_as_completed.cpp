// SPDX-License-Identifier: MIT
// as_completed: the results in the order in which they are there, not in that of the calls.
#include <cadre/cadre.hpp>

#include <chrono>
#include <iostream>
#include <latch>
#include <vector>

int main() {
  using namespace std::chrono_literals;
  cadre::thread_pool_executor pool{2};
  std::vector<int> order;
  // [as-completed]
  std::latch fast_is_reported{1};
  std::vector<cadre::future<int>> futures;
  futures.push_back(pool.submit([&] {
    fast_is_reported.wait();
    return 1;
  }));
  futures.push_back(pool.submit([] { return 2; }));

  // At most 10 s for all of them; then the loop throws timeout_error.
  for (auto& f : cadre::as_completed(futures, 10s)) {
    order.push_back(f.get());
    if (order.size() == 1) fast_is_reported.count_down();
  }
  // [/as-completed]
  for (int n : order) std::cout << n << '\n';

  int visited = 0;
  // [add]
  // Futures can be added in the loop: a call may lead to further ones.
  auto halve = [](int n) { return n / 2; };
  auto reached = cadre::as_completed(std::vector{pool.submit(halve, 100)});
  for (auto& f : reached) {
    ++visited;
    if (f.get() > 0) reached.add(pool.submit(halve, f.get()));
  }
  // [/add]
  return order == std::vector{2, 1} && visited == 7 ? 0 : 1;
}
