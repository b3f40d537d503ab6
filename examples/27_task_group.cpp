// SPDX-License-Identifier: MIT
// task_group: calls that end before their scope does, and fail together. retry and with_timeout.
#include <cadre/cadre.hpp>

#include <chrono>
#include <iostream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

using namespace std::chrono_literals;

std::size_t load(const std::string& name) {
  if (name == "missing.csv") throw std::runtime_error{name + " does not exist"};
  return name.size();
}

int main() {
  cadre::thread_pool_executor pool{2};
  std::size_t total = 0;
  {
    // [group]
    cadre::task_group group{pool};
    auto a = group.spawn(&load, "a.csv");
    auto b = group.spawn(&load, "b.csv");
    group.wait();  // both are done; had one failed, this would throw
    total = a.get() + b.get();
    // [/group]
  }

  bool failed = false;
  try {
    // [failure]
    cadre::task_group group{pool};
    group.post([](std::stop_token stop) {  // a sibling: the failure asks it to stop
      while (!stop.stop_requested()) std::this_thread::yield();
    });
    group.post(&load, "missing.csv");
    group.wait();
  } catch (const cadre::exception_group& e) {
    std::cout << e.what() << '\n';  // and e.exceptions() has each of them
    failed = true;
  }
  // [/failure]

  // [retry]
  int attempts = 0;
  auto flaky = [&attempts](int n) {
    if (++attempts < 3) throw std::system_error{std::make_error_code(std::errc::timed_out)};
    return n * 7;
  };
  auto answer = pool.submit(cadre::retry<std::system_error>({.first_delay = 1ms}, flaky), 6);
  std::cout << cadre::with_timeout(60s, answer) << " at attempt " << attempts << '\n';
  // [/retry]
  return total == 10 && failed && answer.get() == 42 && attempts == 3 ? 0 : 1;
}
