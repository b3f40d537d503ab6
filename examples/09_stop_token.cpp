// SPDX-License-Identifier: MIT
// A running call stops when it looks at its stop_token; one token can govern many calls.
#include <cadre/cadre.hpp>

#include <atomic>
#include <iostream>
#include <latch>
#include <stop_token>
#include <vector>

bool stop_one(cadre::thread_pool_executor& pool) {
  // [one]
  std::latch begun{1};
  cadre::future<long> search = pool.submit([&begun](std::stop_token stop) {
    long steps = 0;
    begun.count_down();
    while (!stop.stop_requested()) ++steps;
    return steps;
  });
  begun.wait();
  search.request_stop();  // true: the call is running, and takes a token
  std::cout << "stopped after " << search.get() << " steps\n";
  // [/one]
  return search.done();
}

bool stop_group(cadre::thread_pool_executor& pool, std::stop_source group) {
  std::atomic<int> ran = 0;
  std::latch busy{1};
  // [group]
  std::vector<cadre::future<void>> calls;
  calls.push_back(pool.submit({.stop_token = group.get_token()}, [&](std::stop_token stop) {
    busy.count_down();
    while (!stop.stop_requested()) {
    }
  }));
  for (int i = 0; i < 100; ++i) {
    calls.push_back(pool.submit({.stop_token = group.get_token()}, [&ran] { ++ran; }));
  }
  busy.wait();
  group.request_stop();  // cancels those that have not begun, asks the running one to stop
  cadre::wait(calls);
  // [/group]
  return ran == 0 && calls.front().exception() == nullptr && calls.back().cancelled();
}

int main() {
  cadre::thread_pool_executor pool{1};
  return stop_one(pool) && stop_group(pool, std::stop_source{}) ? 0 : 1;
}
