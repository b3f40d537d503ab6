// SPDX-License-Identifier: MIT
// Pool after pool in a storm: threads submit calls of all sizes, with timeouts and retries, cancel some,
// and end the pool in one way or another, while workers and the zygote are killed, crash and are stopped.
// Every call is over once, rightly; none fails but by the death of the worker that ran it; none
// begins more often than it may; nothing is left. The environment says for how long, and where the
// random numbers begin: CADRE_STORM_SECONDS, CADRE_STORM_SEED.
#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>
#include <cadre/shared_span.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/process.hpp"
#include "support/sanitizers.hpp"
#include "support/timeouts.hpp"

namespace cadre::test {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

double given(const char* name, double otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::atof(text) : otherwise;
}

constexpr unsigned submitters = 4;
constexpr unsigned most_calls = 4096;  // of one pool

using numbers = std::vector<std::uint32_t>;

/// Tells a wrong, a late and a mixed-up answer from the right one.
numbers mix(std::uint32_t seed, numbers all) {
  for (std::uint32_t& n : all) n = n * 2654435761U + seed;
  return all;
}

/// A call: notes in `begun` that it has begun, and works for a while.
numbers work(const shared_span<std::uint32_t>& begun, std::uint32_t number, std::uint32_t seed,
             std::uint32_t busy_us, numbers all) {
  std::atomic_ref{begun[number]}.fetch_add(1);
  const auto end = clock::now() + microseconds{busy_us};
  while (clock::now() < end) {
  }
  return mix(seed, std::move(all));
}

/// What went wrong, and how much there was.
struct tally {
  std::atomic<std::uint64_t> submitted{0}, right{0}, cancelled{0}, timed_out{0}, lost{0};
  std::atomic<std::uint64_t> pools{0}, killed{0}, crashed{0}, stopped{0}, zygotes{0};

  /// Prints the first few.
  void wrong(const std::string& what) {
    const std::lock_guard lock{mutex_};
    if (++wrongs_ <= 20) std::printf("WRONG: %s\n", what.c_str());
  }
  std::uint64_t wrongs() {
    const std::lock_guard lock{mutex_};
    return wrongs_;
  }

 private:
  std::mutex mutex_;
  std::uint64_t wrongs_ = 0;
};

std::size_t entries(const char* folder) {
  std::size_t count = 0;
  for (const auto& each : std::filesystem::directory_iterator{folder}) {
    static_cast<void>(each);
    ++count;
  }
  return count;
}

/// This process's children: the zygote, if there is one.
std::vector<int> children() {
  std::vector<int> all;
  std::error_code gone;
  for (const auto& thread : std::filesystem::directory_iterator{"/proc/self/task", gone}) {
    std::ifstream list{thread.path() / "children"};
    for (int pid = 0; list >> pid;) all.push_back(pid);
  }
  return all;
}

std::size_t random_size(std::minstd_rand& random) {
  const auto kind = random() % 100;
  if (kind < 80) return random() % 16;
  if (kind < 92) return random() % 16'000;
  if (kind < 99) return random() % 100'000;
  return random() % (std::size_t{1} << 20);  // up to 4 MiB
}

/// One pool, from its first call to its end.
class storm {
 public:
  storm(unsigned seed, tally& count) : seed_{seed}, count_{count} {
    std::minstd_rand random{seed};
    process_pool_options options;
    options.max_workers = 1 + static_cast<int>(random() % 4);
    if (random() % 4 == 0) options.max_calls_per_worker = 1 + random() % 20;
    if (random() % 4 == 0) options.idle_timeout = milliseconds{1 + random() % 20};
    if (random() % 4 == 0) options.start_method = start_method::exec;
    pool_ = std::make_unique<process_pool_executor>(std::move(options));
    ends_ = static_cast<ending>(random() % 4);
    life_ = milliseconds{200 + random() % 1000};
  }

  void run() {
    ++count_.pools;
    const auto limit = clock::now() + life_;
    {
      std::vector<std::jthread> threads;
      for (unsigned i = 0; i != submitters; ++i) {
        threads.emplace_back([this, i, limit] { submit_until(limit, i); });
      }
      harass_until_over();
    }
    pool_.reset();
    judge_deaths();
  }

 private:
  enum class ending { destroyed, shut_down, cancelled, killed };

  /// A call, and what may become of it.
  struct call {
    unsigned number = 0;
    std::uint32_t seed = 0;
    numbers argument;
    submit_options options;
    bool is_cancelled = false;
    future<numbers> answer;
  };

  // --- submitters ---

  void submit_until(clock::time_point limit, unsigned thread) {
    std::minstd_rand random{seed_ + 1 + thread};
    while (clock::now() < limit) {
      std::vector<call> batch;
      for (auto i = 1 + random() % 24; i != 0; --i) {
        if (!submit(random, batch)) break;
      }
      if (thread == 0 && clock::now() >= limit) end_pool();
      for (call& each : batch) judge(each);
      if (batch.empty()) break;
      if (random() % 4 == 0) std::this_thread::sleep_for(microseconds{random() % 8000});
    }
    if (thread == 0) end_pool();
    --busy_;
  }

  bool submit(std::minstd_rand& random, std::vector<call>& batch) {
    call c;
    c.number = next_++;
    if (c.number >= most_calls) return false;
    c.seed = static_cast<std::uint32_t>(random());
    c.argument.assign(random_size(random), static_cast<std::uint32_t>(random()));
    c.options.retries = random() % 2 == 0 ? 0 : random() % 4;
    if (random() % 3 == 0) c.options.timeout = milliseconds{20 + random() % 200};
    c.options.grace = milliseconds{10};
    const auto busy = static_cast<std::uint32_t>(random() % 40 == 0 ? random() % 150'000 : 0);
    try {
      c.answer = pool_->submit(c.options, &work, begun_.share_writable(), c.number, c.seed, busy,
                               c.argument);
    } catch (const shutdown_error&) {
      return false;  // another thread has ended the pool
    } catch (const std::exception& e) {
      count_.wrong(std::string{"not accepted: "} + e.what());
      return false;
    }
    ++count_.submitted;
    accepted_[c.number] = true;
    c.answer.add_done_callback([this, n = c.number](const auto&) { ++told_[n]; });
    if (random() % 5 == 0) c.is_cancelled = c.answer.cancel();
    batch.push_back(std::move(c));
    if (random() % 5 == 0) {
      call& any = batch[random() % batch.size()];
      any.is_cancelled = any.answer.cancel() || any.is_cancelled;
    }
    return true;
  }

  void end_pool() {
    if (ended_.exchange(true)) return;
    switch (ends_) {
      case ending::destroyed:
        return;  // when all calls are over
      case ending::shut_down:
        pool_->shutdown({.wait = false});
        return;
      case ending::cancelled:
        pool_->shutdown({.wait = false, .cancel_pending = true});
        return;
      case ending::killed:
        killed_ = true;
        pool_->kill_workers();
    }
  }

  // --- what became of a call ---

  void judge(call& c) {
    const std::string name = "call " + std::to_string(c.number) + ": ";
    if (!c.answer.wait_for(long_time)) {
      count_.wrong(name + "is not over");
      std::fflush(stdout);
      std::abort();
    }
    const unsigned begun = std::atomic_ref{begun_[c.number]}.load();
    if (begun > c.options.retries + 1) count_.wrong(name + "ran too often");
    try {
      const numbers& answer = c.answer.get();
      ++count_.right;
      if (answer != mix(c.seed, c.argument)) count_.wrong(name + "has a wrong result");
      if (begun == 0) count_.wrong(name + "has a result, and never ran");
      if (c.is_cancelled) count_.wrong(name + "was cancelled, and has a result");
    } catch (const cancelled_error&) {
      ++count_.cancelled;
      if (begun != 0 && c.options.retries == 0) count_.wrong(name + "ran though it was cancelled");
      if (!c.is_cancelled && ends_ != ending::cancelled && ends_ != ending::killed) {
        count_.wrong(name + "is cancelled, and nobody did it");
      }
    } catch (const timeout_error& e) {
      ++count_.timed_out;
      if (!c.options.timeout) count_.wrong(name + "timed out without a timeout: " + e.what());
    } catch (const worker_died& e) {
      ++count_.lost;
      const std::lock_guard lock{mutex_};
      ++lost_with_[e.how().pid];
      why_[e.how().pid] = e.what();
    } catch (const std::exception& e) {
      count_.wrong(name + e.what());
    }
  }

  /// The pool is gone: all is known.
  void judge_deaths() {
    for (unsigned n = 0; n != most_calls; ++n) {
      if (told_[n] == (accepted_[n] ? 1U : 0U)) continue;
      count_.wrong("call " + std::to_string(n) + " was told " + std::to_string(told_[n]) +
                   " times");
    }
    for (const auto& [pid, calls] : lost_with_) {
      const std::string name = "worker " + std::to_string(pid) + ": ";
      if (calls > 1) count_.wrong(name + "its death cost more than one call: " + why_[pid]);
      if (!hit_.contains(pid) && !zygote_hit_ && !killed_) {
        count_.wrong(name + "nobody killed it: " + why_[pid]);
      }
    }
    for (const int pid : seen_) {
      const auto limit = clock::now() + medium_time;
      while (::kill(pid, 0) == 0 && clock::now() < limit) std::this_thread::yield();
      if (::kill(pid, 0) == 0) count_.wrong("worker " + std::to_string(pid) + " is left");
    }
  }

  // --- faults ---

  void harass_until_over() {
    std::minstd_rand random{seed_};
    while (busy_ != 0) {
      const auto workers = pool_->worker_pids();
      seen_.insert(workers.begin(), workers.end());
      if (random() % 40 == 0) {
        hit_zygote(random);
      } else if (!workers.empty()) {
        hit_worker(random, workers[random() % workers.size()]);
      }
      std::this_thread::sleep_for(
          microseconds{(500 + random() % 20'000) * (under_tsan || under_asan ? 4 : 1)});
    }
    // Who is stopped and has nothing to do would stay.
    for (const int pid : stopped_) ::kill(pid, SIGKILL);
  }

  void hit_worker(std::minstd_rand& random, int pid) {
    {
      const std::lock_guard lock{mutex_};
      hit_.insert(pid);
    }
    switch (random() % 5) {
      case 0:
        if (::kill(pid, SIGSEGV) == 0) ++count_.crashed;
        return;
      case 1:
      case 2:
        if (::kill(pid, SIGKILL) == 0) ++count_.killed;
        return;
      default:
        if (::kill(pid, SIGSTOP) != 0) return;
        ++count_.stopped;
        stopped_.push_back(pid);
        if (random() % 2 == 0) {
          std::this_thread::sleep_for(microseconds{random() % 5000});
          ::kill(pid, SIGCONT);
          return;
        }
        // Not for ever: calls without a timeout wait for it.
        if (stopped_.size() > 1) {
          ::kill(stopped_.front(), SIGKILL);
          stopped_.erase(stopped_.begin());
        }
    }
  }

  void hit_zygote(std::minstd_rand& random) {
    const auto all = children();
    if (all.empty()) return;
    const int pid = all[random() % all.size()];
    ++count_.zygotes;
    if (random() % 2 == 0) {
      {
        const std::lock_guard lock{mutex_};
        zygote_hit_ = true;
      }
      ::kill(pid, SIGKILL);
    } else {
      ::kill(pid, SIGSTOP);
      std::this_thread::sleep_for(microseconds{random() % 50'000});
      ::kill(pid, SIGCONT);
    }
  }

  const unsigned seed_;
  tally& count_;
  ending ends_;
  milliseconds life_;
  const shared_buffer<std::uint32_t> begun_{most_calls, shared_access::everyone};
  std::array<std::atomic<bool>, most_calls> accepted_{};
  std::array<std::atomic<unsigned>, most_calls> told_{};
  std::unique_ptr<process_pool_executor> pool_;
  std::atomic<unsigned> next_{0};
  std::atomic<unsigned> busy_{submitters};
  std::atomic<bool> ended_{false};
  std::atomic<bool> killed_{false};
  std::vector<int> stopped_;  // the harasser's
  std::set<int> seen_;        // the harasser's
  std::mutex mutex_;          // guards what follows
  std::set<int> hit_;
  bool zygote_hit_ = false;
  std::map<int, unsigned> lost_with_;
  std::map<int, std::string> why_;
};

std::string thread_names() {
  std::string all;
  std::error_code gone;
  for (const auto& thread : std::filesystem::directory_iterator{"/proc/self/task", gone}) {
    std::string name;
    std::getline(std::ifstream{thread.path() / "comm"}, name);
    all += (all.empty() ? "" : ", ") + name;
  }
  return all;
}

const child_program pools_in_a_storm{
    "pools in a storm", [] {
      const auto seed =
          static_cast<unsigned>(given("CADRE_STORM_SEED", std::random_device{}() % 1'000'000));
      std::printf("CADRE_STORM_SEED=%u\n", seed);
      tally count;
      const std::size_t threads = entries("/proc/self/task");
      const std::size_t descriptors = entries("/proc/self/fd");
      const auto end =
          clock::now() +
          milliseconds{static_cast<std::int64_t>(1000 * given("CADRE_STORM_SECONDS", 3))};
      for (unsigned i = 0; clock::now() < end; ++i) {
        std::make_unique<storm>(seed + i * 10, count)->run();
        // The system shows a thread for a moment after it was joined.
        const auto patience = clock::now() + medium_time;
        while (entries("/proc/self/task") != threads && clock::now() < patience) {
          std::this_thread::yield();
        }
        if (entries("/proc/self/task") != threads)
          count.wrong("a thread is left: " + thread_names());
        if (entries("/proc/self/fd") != descriptors) count.wrong("a descriptor is left");
        if (!children().empty()) count.wrong("a child is left");
      }
      std::printf(
          "%llu pools, %llu calls: %llu right, %llu cancelled, %llu timed out, %llu lost; workers: "
          "%llu killed, %llu crashed, %llu stopped; the zygote: %llu times\n",
          static_cast<unsigned long long>(count.pools),
          static_cast<unsigned long long>(count.submitted),
          static_cast<unsigned long long>(count.right),
          static_cast<unsigned long long>(count.cancelled),
          static_cast<unsigned long long>(count.timed_out),
          static_cast<unsigned long long>(count.lost),
          static_cast<unsigned long long>(count.killed),
          static_cast<unsigned long long>(count.crashed),
          static_cast<unsigned long long>(count.stopped),
          static_cast<unsigned long long>(count.zygotes));
      return count.wrongs() == 0 ? 0 : 1;
    }};

}  // namespace

TEST(process_pool_storm, every_call_is_over_once_and_rightly_and_nothing_is_left) {
  if (under_tsan) {
    GTEST_SKIP()
        << "ThreadSanitizer's own thread and slow ends of workers are counted as left behind";
  }
  const auto limit =
      milliseconds{static_cast<std::int64_t>(1000 * given("CADRE_STORM_SECONDS", 3))};

  const ended child = pools_in_a_storm.run(limit + long_time);

  EXPECT_EQ(child.exit_code, 0) << child;
  for (const char* word : {"damaged", "its check is wrong", "terminate called"}) {
    EXPECT_EQ(child.err.find(word), std::string::npos) << child.err.substr(0, 4000);
  }
  std::printf("%s", child.out.c_str());
}

}  // namespace cadre::test
