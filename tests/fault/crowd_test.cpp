// SPDX-License-Identifier: MIT
// Calls beside processes that never sleep: whoever waits for one is woken, however it waits. The environment
// says for how long: CADRE_CROWD_SECONDS.
#include <cadre/process_pool_executor.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::microseconds;

class busy_processes {
 public:
  busy_processes() {
    for (pid_t& each : all_) {
      each = ::fork();
      if (each != 0) continue;
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (volatile unsigned n = 0;;) n = n + 1;
    }
  }
  ~busy_processes() {
    for (const pid_t each : all_) {
      if (each <= 0) continue;
      ::kill(each, SIGKILL);
      ::waitpid(each, nullptr, 0);
    }
  }
  busy_processes(const busy_processes&) = delete;
  busy_processes& operator=(const busy_processes&) = delete;

 private:
  std::array<pid_t, 4> all_{};
};

int work_for(int us) {
  const auto end = clock::now() + microseconds{us};
  while (clock::now() < end) continue;
  return us;
}

/// Calls in a row, in bursts, after pauses, of all lengths; waited for in all ways. False as soon as one
/// takes so long that its waiter, or its worker, must sleep.
bool use(executor& pool, unsigned seed, clock::time_point end) {
  std::mt19937 random{seed};
  const auto one_of = [&](auto... values) {
    const std::array all{values...};
    return all[random() % all.size()];
  };
  while (clock::now() < end) {
    const int length = one_of(0, 0, 0, 5, 30, 200);
    std::vector<future<int>> burst;
    for (int n = one_of(1, 1, 1, 2, 20); n > 0; --n)
      burst.push_back(pool.submit(&work_for, length));
    if (random() % 2 == 0) std::swap(burst.front(), burst.back());
    for (const auto& each : burst) {
      if (!each.wait_for(medium_time)) return false;
      if (each.get() != length) return false;
    }
    if (const int pause = one_of(0, 0, 0, 20, 100, 2000); pause != 0) {
      std::this_thread::sleep_for(microseconds{pause});
    }
    if (const auto f = pool.submit(&work_for, 0); random() % 4 != 0) f.get();
  }
  return true;
}

}  // namespace

TEST(crowd, no_call_is_left_though_all_who_could_run_or_read_it_sleep) {
  const char* const given = std::getenv("CADRE_CROWD_SECONDS");
  const busy_processes beside;
  thread_pool_executor threads{2};
  process_pool_executor processes{2};
  const auto end = clock::now() + std::chrono::seconds{given != nullptr ? std::atoi(given) : 2};
  std::atomic<bool> all_in_time{true};

  std::vector<std::thread> users;
  for (unsigned i = 0; i < 4; ++i) {
    users.emplace_back([&, i] {
      executor& pool = i % 2 == 0 ? static_cast<executor&>(threads) : processes;
      if (!use(pool, i, end)) all_in_time = false;
    });
  }
  for (std::thread& each : users) each.join();

  EXPECT_TRUE(all_in_time);
}

}  // namespace cadre::test
