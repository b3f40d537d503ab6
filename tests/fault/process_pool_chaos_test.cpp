// SPDX-License-Identifier: MIT
// Workers are killed at random while four threads submit calls of mixed sizes. CADRE_CHAOS_SECONDS
// says for how long.
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fault/process_pool_calls.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using clock = std::chrono::steady_clock;

std::chrono::duration<double> chaos_time() {
  const char* given = std::getenv("CADRE_CHAOS_SECONDS");
  return std::chrono::duration<double>{given != nullptr ? std::atof(given) : 2.0};
}

/// Tells a wrong, a late and a mixed-up answer from the right one.
std::vector<unsigned> mix(unsigned seed, std::vector<unsigned> numbers) {
  for (unsigned& n : numbers) n = n * 2654435761U + seed;
  return numbers;
}

struct tally {
  std::atomic<std::uint64_t> good{0};
  std::atomic<std::uint64_t> wrong{0};
  std::atomic<std::uint64_t> lost{0};       // by worker_died
  std::atomic<std::uint64_t> otherwise{0};  // by another exception
  std::atomic<std::uint64_t> unresolved{0};
  std::atomic<std::uint64_t> callbacks{0};
  std::atomic<std::uint64_t> submitted{0};
  std::atomic<std::uint64_t> kills{0};
};

std::size_t random_size(std::minstd_rand& random) {
  const auto kind = random() % 100;
  if (kind < 90) return random() % 16;
  if (kind < 99) return random() % 20'000;
  return random() % 600'000;
}

void submit_until(clock::time_point end, unsigned seed, process_pool_executor& pool, tally& count) {
  std::minstd_rand random{seed};
  struct pending {
    unsigned seed;
    std::vector<unsigned> numbers;
    future<std::vector<unsigned>> answer;
  };
  while (clock::now() < end) {
    std::vector<pending> batch;
    for (auto i = 1 + random() % 32; i != 0; --i) {
      std::vector<unsigned> numbers(random_size(random));
      std::iota(numbers.begin(), numbers.end(), static_cast<unsigned>(random()));
      const auto call_seed = static_cast<unsigned>(random());
      auto f = pool.submit(&mix, call_seed, numbers);
      f.add_done_callback([&count](const auto&) { ++count.callbacks; });
      ++count.submitted;
      batch.push_back({call_seed, std::move(numbers), std::move(f)});
    }
    for (const pending& p : batch) {
      try {
        const auto& answer = p.answer.get_for(long_time);
        ++(answer == mix(p.seed, p.numbers) ? count.good : count.wrong);
      } catch (const worker_died&) {
        ++count.lost;
      } catch (const timeout_error&) {
        ++count.unresolved;
      } catch (const std::exception&) {
        ++count.otherwise;
      }
    }
  }
}

void kill_until(clock::time_point end, const process_pool_executor& pool, tally& count) {
  std::minstd_rand random{42};
  while (clock::now() < end) {
    const auto pids = pool.worker_pids();
    if (!pids.empty()) {
      const int pid = pids[random() % pids.size()];
      ++count.kills;
      switch (random() % 3) {
        case 0:
          ::kill(pid, SIGKILL);
          break;
        case 1:
          ::kill(pid, SIGSEGV);
          break;
        default:
          ::kill(pid, SIGSTOP);
          std::this_thread::yield();
          ::kill(pid, SIGKILL);
      }
    }
    // Time for workers to start; more under ThreadSanitizer, where they need more.
    std::this_thread::sleep_for(std::chrono::microseconds{500 + random() % 10'000} * time_scale());
  }
}

}  // namespace

TEST(process_pool_chaos, every_call_is_resolved_once_and_rightly_while_workers_are_killed) {
  tally count;
  {
    process_pool_executor pool{3};
    const auto end = clock::now() + std::chrono::duration_cast<clock::duration>(chaos_time());
    std::vector<std::jthread> threads;
    for (unsigned i = 1; i <= 4; ++i) {
      threads.emplace_back([&, i] { submit_until(end, i, pool, count); });
    }
    kill_until(end, pool, count);
    threads.clear();
  }

  EXPECT_EQ(count.wrong, 0U);
  EXPECT_EQ(count.otherwise, 0U);
  EXPECT_EQ(count.unresolved, 0U);
  EXPECT_EQ(count.good + count.lost, count.submitted);
  EXPECT_EQ(count.callbacks, count.submitted);
  EXPECT_LE(count.lost, count.kills);
  EXPECT_GT(count.kills, 0U);
  EXPECT_GT(count.good, count.lost);
  RecordProperty("good", std::to_string(count.good));
  RecordProperty("lost", std::to_string(count.lost));
  RecordProperty("kills", std::to_string(count.kills));
}

}  // namespace cadre::test
