// SPDX-License-Identifier: MIT
// Workers are killed at random while four threads submit calls of mixed sizes. The environment says
// for how long, or how many calls, and where the random numbers begin: CADRE_CHAOS_SECONDS,
// CADRE_CHAOS_CALLS, CADRE_CHAOS_SEED.
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>

#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fault/process_pool_calls.hpp"
#include "support/sanitizers.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using clock = std::chrono::steady_clock;

double given(const char* name, double otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::atof(text) : otherwise;
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
  std::atomic<int> submitters{4};
};

/// When there was enough of it.
struct extent {
  std::uint64_t calls = static_cast<std::uint64_t>(given("CADRE_CHAOS_CALLS", 0));
  clock::time_point end =
      clock::now() + std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>{
                         given("CADRE_CHAOS_SECONDS", calls == 0 ? 2 : 0)});

  bool reached(const tally& count) const { return count.submitted >= calls && clock::now() >= end; }
};

std::size_t random_size(std::minstd_rand& random) {
  const auto kind = random() % 100;
  if (kind < 90) return random() % 16;
  if (kind < 99) return random() % 20'000;
  return random() % 600'000;
}

void submit_until(const extent& all, unsigned seed, process_pool_executor& pool, tally& count) {
  std::minstd_rand random{seed};
  struct pending {
    unsigned seed;
    std::vector<unsigned> numbers;
    future<std::vector<unsigned>> answer;
  };
  while (!all.reached(count)) {
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
    // Workers are to be killed in their sleep, too.
    if (random() % 4 != 0) {
      std::this_thread::sleep_for(std::chrono::microseconds{random() % 8000});
    }
  }
  --count.submitters;
}

/// On a busy machine calls take their time. If deaths did not, there would be hardly anything else.
void await_progress(const tally& count, std::uint64_t ended_before) {
  for (int turn = 0; turn < 20 && count.submitters != 0; ++turn) {
    if (count.good + count.lost >= ended_before + 2) return;
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
}

void kill_until_over(unsigned seed, const process_pool_executor& pool, tally& count) {
  std::minstd_rand random{seed};
  while (count.submitters != 0) {
    const std::uint64_t ended = count.good + count.lost;
    const auto pids = pool.worker_pids();
    if (!pids.empty()) {
      const int pid = pids[random() % pids.size()];
      const auto way = random() % 3;
      if (way == 2) {
        ::kill(pid, SIGSTOP);
        std::this_thread::yield();
      }
      if (::kill(pid, way == 1 ? SIGSEGV : SIGKILL) == 0) ++count.kills;
    }
    // Time for workers to start; more under ThreadSanitizer, where they need more.
    std::this_thread::sleep_for(
        std::chrono::microseconds{(500 + random() % 10'000) * (under_tsan ? 2 : 1)});
    await_progress(count, ended);
  }
}

}  // namespace

TEST(process_pool_chaos, every_call_is_resolved_once_and_rightly_while_workers_are_killed) {
  const auto seed =
      static_cast<unsigned>(given("CADRE_CHAOS_SEED", std::random_device{}() % 1'000'000));
  std::printf("CADRE_CHAOS_SEED=%u\n", seed);
  tally count;
  {
    process_pool_executor pool{3};
    const extent all;
    std::vector<std::jthread> threads;
    for (unsigned i = 1; i <= 4; ++i) {
      threads.emplace_back([&, i] { submit_until(all, seed + i, pool, count); });
    }
    kill_until_over(seed, pool, count);
  }

  EXPECT_EQ(count.wrong, 0U);
  EXPECT_EQ(count.otherwise, 0U);
  EXPECT_EQ(count.unresolved, 0U);
  EXPECT_EQ(count.good + count.lost, count.submitted);
  EXPECT_EQ(count.callbacks, count.submitted);
  EXPECT_LE(count.lost, count.kills);
  EXPECT_GT(count.kills, 0U);
  EXPECT_GT(count.good, count.lost);
  std::printf("%llu calls, %llu workers killed, %llu calls lost\n",
              static_cast<unsigned long long>(count.submitted.load()),
              static_cast<unsigned long long>(count.kills.load()),
              static_cast<unsigned long long>(count.lost.load()));
}

}  // namespace cadre::test
