// SPDX-License-Identifier: MIT
// A call of a higher priority overtakes those that are queued; equal ones keep their order.
#include <cadre/cadre.hpp>

#include <iostream>
#include <latch>
#include <string>

int main() {
  std::string order;
  {
    cadre::thread_pool_executor pool{1};
    std::latch queued{1};
    pool.post([&] { queued.wait(); });  // keeps the worker while the others queue up

    // [priority]
    auto note = [&order](char c) { order += c; };
    auto c = pool.submit({.name = "rebuild the index", .priority = -1}, note, 'c');
    auto b = pool.submit(note, 'b');  // priority 0
    auto a = pool.submit({.name = "answer the user", .priority = 1}, note, 'a');
    // [/priority]
    queued.count_down();
  }  // the destructor waits for all of them
  std::cout << order << '\n';
  return order == "abc" ? 0 : 1;
}
