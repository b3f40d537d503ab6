// SPDX-License-Identifier: MIT
// A second thread of a test, which tells when it sleeps: so a test can act upon a waiter.
//
//     other_thread waiter{[&] { value = f.get(); }};
//     waiter.await_asleep();
//     promise.set_value(42);
//     waiter.join();
#pragma once

#include <unistd.h>

#include <atomic>
#include <fstream>
#include <string>
#include <thread>
#include <utility>

namespace cadre::test {

/// True if the kernel lists the thread `tid` of this process as sleeping. Source: proc(5), stat.
inline bool is_asleep(pid_t tid) {
  std::ifstream file{"/proc/self/task/" + std::to_string(tid) + "/stat"};
  std::string stat;
  std::getline(file, stat);
  const auto name_end = stat.rfind(')');
  return name_end != std::string::npos && stat.compare(name_end, 3, ") S") == 0;
}

class other_thread {
 public:
  template <typename Function>
  explicit other_thread(Function function)
      : thread_{[this, run = std::move(function)]() mutable {
          tid_.store(::gettid());
          tid_.notify_one();
          run();
          ended_.store(true);
        }} {}

  /// Returns once the thread sleeps in the kernel, or false if it ends without.
  bool await_asleep() const {
    tid_.wait(0);
    while (!is_asleep(tid_.load())) {
      if (ended_.load()) return false;
      std::this_thread::yield();
    }
    return true;
  }

  void join() { thread_.join(); }

 private:
  std::atomic<pid_t> tid_{0};
  std::atomic<bool> ended_{false};
  std::jthread thread_;
};

}  // namespace cadre::test
