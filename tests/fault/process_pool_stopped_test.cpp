// SPDX-License-Identifier: MIT
// A worker that is stopped (SIGSTOP) when half of its answer is sent: nobody may be busy over it.
#include <cadre/process_pool_executor.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "fault/process_pool_calls.hpp"
#include "support/cpu_time.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

constexpr std::size_t page_size = 4096;

void* barred = nullptr;  // the page at which this worker stops

/// Of whoever reads the barred page: stops this process, and lets it read when it goes on.
void stop_here(int) {
  ::kill(::getpid(), SIGSTOP);
  ::mprotect(barred, page_size, PROT_READ | PROT_WRITE);
}

/// A result that is sent from where it stands, without a copy, and cannot be read past its middle.
std::string stop_in_the_midst_of_the_answer(std::size_t size) {
  std::string text(size, 'x');
  const auto middle = reinterpret_cast<std::uintptr_t>(text.data()) + size / 2;
  barred = reinterpret_cast<void*>(middle / page_size * page_size);
  struct sigaction stops {};
  stops.sa_handler = &stop_here;
  ::sigaction(SIGSEGV, &stops, nullptr);
  ::mprotect(barred, page_size, PROT_NONE);
  return text;
}

bool is_stopped(int pid) {
  std::ifstream file{"/proc/" + std::to_string(pid) + "/stat"};
  std::string stat;
  std::getline(file, stat);
  const auto name_end = stat.rfind(')');
  return name_end != std::string::npos && stat.compare(name_end, 3, ") T") == 0;
}

/// The worker that is stopped; 0 if none is in time.
int await_stopped(process_pool_executor& pool) {
  const auto deadline = std::chrono::steady_clock::now() + medium_time;
  while (std::chrono::steady_clock::now() < deadline) {
    for (const int pid : pool.worker_pids()) {
      if (is_stopped(pid)) return pid;
    }
    std::this_thread::yield();
  }
  return 0;
}

}  // namespace

class process_pool_stopped : public testing::TestWithParam<std::size_t> {};

TEST_P(process_pool_stopped, a_worker_in_the_midst_of_an_answer_holds_up_nobody) {
  const std::size_t size = GetParam();
  process_pool_executor pool{2};
  const auto stopped = pool.submit(&stop_in_the_midst_of_the_answer, size);
  const int pid = await_stopped(pool);
  ASSERT_NE(pid, 0);

  std::vector<future<int>> others;
  for (int i = 0; i < 100; ++i) others.push_back(pool.submit(&add_one, i));
  const auto deadline = std::chrono::steady_clock::now() + medium_time;
  for (const auto& f : others) EXPECT_TRUE(f.wait_until(deadline));
  EXPECT_LT(cpu_share_over(small_time), 0.05) << "the collector is busy";
  const auto used = process_cpu_time();
  EXPECT_FALSE(stopped.wait_for(small_time));
  EXPECT_LT(process_cpu_time() - used, small_time / 20) << "who waits is busy";
  EXPECT_TRUE(is_stopped(pid));

  ::kill(pid, SIGCONT);
  ASSERT_TRUE(stopped.wait_for(medium_time));
  EXPECT_TRUE(stopped.get() == std::string(size, 'x'));
}

// The first fits the channel, with room to spare; of the second nobody can have sent all at once.
INSTANTIATE_TEST_SUITE_P(sizes, process_pool_stopped,
                         testing::Values(std::size_t{128} << 10, std::size_t{4} << 20),
                         [](const auto& of) { return "kib_" + std::to_string(of.param >> 10); });

}  // namespace cadre::test
