// SPDX-License-Identifier: MIT
// What every benchmark shares: the command line, the report, the rounds and the machine.
//
//     bench_post --list                   prints the implementations, one a line
//     bench_post --impl cadre --rep 3     measures one of them; prints one JSON object a line
//
// One process measures one implementation once, so that no pool sees another one's threads,
// allocator or page faults; run.py interleaves the processes and compares.
#pragma once

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <latch>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace bench {

/// How many workers every pool is given.
inline constexpr int workers = 2;

/// Which measurement this process makes, and the way to print what it found.
class report {
 public:
  report(std::string_view bench, std::string_view impl, int rep)
      : bench_{bench}, impl_{impl}, rep_{rep} {}

  /// `variant` tells apart two answers to the same question, as "free" and "x".
  void operator()(std::string_view metric, double value, std::string_view variant = {}) const {
    std::printf(R"({"bench":"%s","impl":"%s","metric":"%s",)", bench_.c_str(), impl_.c_str(),
                std::string{metric}.c_str());
    if (!variant.empty()) std::printf(R"("variant":"%s",)", std::string{variant}.c_str());
    std::printf("\"value\":%.6g,\"rep\":%d}\n", value, rep_);
  }

 private:
  std::string bench_;
  std::string impl_;
  int rep_;
};

struct implementation {
  std::string_view name;
  void (*measure)(const report&);
};

/// The main() of a benchmark.
inline int run(std::string_view bench, int argc, char** argv,
               std::initializer_list<implementation> implementations) {
  std::string_view impl;
  int rep = 0;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--list") == 0) {
      for (const auto& known : implementations) std::printf("%s\n", known.name.data());
      return EXIT_SUCCESS;
    }
    if (std::strcmp(argv[i], "--impl") == 0 && i + 1 < argc) impl = argv[++i];
    if (std::strcmp(argv[i], "--rep") == 0 && i + 1 < argc) rep = std::atoi(argv[++i]);
  }
  for (const auto& known : implementations) {
    if (known.name != impl) continue;
    known.measure(report{bench, impl, rep});
    return EXIT_SUCCESS;
  }
  std::fprintf(stderr, "%s: no implementation \"%s\"; --list shows those there are\n", argv[0],
               std::string{impl}.c_str());
  return EXIT_FAILURE;
}

using clock = std::chrono::steady_clock;

/// Wall time of one run of `work`.
template <typename Work>
double elapsed_ns(Work&& work) {
  const auto start = clock::now();
  work();
  return std::chrono::duration<double, std::nano>{clock::now() - start}.count();
}

/// The value below which `share` of the samples lie; 0.5 is the median.
inline double percentile(std::vector<double> samples, double share) {
  const auto rank = static_cast<std::ptrdiff_t>(share * static_cast<double>(samples.size() - 1));
  std::nth_element(samples.begin(), samples.begin() + rank, samples.end());
  return samples[static_cast<std::size_t>(rank)];
}

/// The median of as many rounds as half a second holds, after one that is not timed: it starts
/// the threads and takes the page faults of the allocators, which differ from pool to pool.
template <typename Round>
double median_ns(Round round) {
  round();
  std::vector<double> rounds;
  const auto end = clock::now() + std::chrono::milliseconds{500};
  do {
    rounds.push_back(elapsed_ns(round));
  } while (clock::now() < end);
  return percentile(std::move(rounds), 0.5);
}

/// Keeps the compiler from leaving out the computation of what `data` points at.
inline void keep(const void* data) { asm volatile("" : : "r"(data) : "memory"); }

/// Runs `f` in a child, so that what it leaves behind (threads, memory, affinity) is gone after.
template <typename F>
void in_fresh_process(F f) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // run.py kills a parent that hangs
    f();
    std::fflush(stdout);
    std::_Exit(EXIT_SUCCESS);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
    std::fprintf(stderr, "the process of a variant failed, status %d\n", status);
    std::exit(EXIT_FAILURE);
  }
}

inline void pin_this_thread(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) == 0) return;
  std::fprintf(stderr, "cannot pin a thread to CPU %d: %s\n", cpu, std::strerror(errno));
  std::exit(EXIT_FAILURE);
}

/// Processes that never sleep, as long as this lives: four of them beside the benchmark ("crowded"), or one
/// on the CPU 1 ("one_busy"), or none. On this many CPUs a thread then has to share its own.
class company {
 public:
  explicit company(std::string_view variant) {
    const int count = variant == "crowded" ? 4 : variant == "one_busy" ? 1 : 0;
    for (int i = 0; i < count; ++i) {
      const pid_t child = fork();
      if (child < 0) std::exit(EXIT_FAILURE);
      if (child != 0) {
        busy_.push_back(child);
        continue;
      }
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (count == 1) pin_this_thread(1);
      for (volatile unsigned n = 0;;) n = n + 1;
    }
  }
  ~company() {
    for (const pid_t child : busy_) {
      kill(child, SIGKILL);
      waitpid(child, nullptr, 0);
    }
  }
  company(const company&) = delete;
  company& operator=(const company&) = delete;

 private:
  std::vector<pid_t> busy_;
};

/// Runs `f` once on every worker: each is held until all have come.
template <typename Pool, typename F>
void on_every_worker(Pool& pool, F f) {
  std::latch all{Pool::workers};
  auto call = [&] {
    f();
    all.arrive_and_wait();
  };
  std::vector<decltype(pool.submit(call))> calls;
  for (int i = 0; i < Pool::workers; ++i) calls.push_back(pool.submit(call));
  for (auto& each : calls) each.get();
}

/// CPU time this process has used, in all its threads.
inline double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

/// The sum of `of(pid)` for this process and all that are below it.
template <typename Of>
double sum_of_all(Of of, pid_t root = getpid()) {
  double all = of(root);
  std::error_code gone;
  const std::filesystem::path tasks = "/proc/" + std::to_string(root) + "/task";
  for (const auto& task : std::filesystem::directory_iterator{tasks, gone}) {
    std::ifstream children{task.path() / "children"};
    for (pid_t child = 0; children >> child;) all += sum_of_all(of, child);
  }
  return all;
}

/// CPU time this process and all that are below it have used.
inline double cpu_seconds_of_all() {
  return sum_of_all([](pid_t pid) {
    clockid_t of_it{};
    timespec used{};
    if (clock_getcpuclockid(pid, &of_it) != 0 || clock_gettime(of_it, &used) != 0) return 0.0;
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
  });
}

/// How often a processor went to or from a thread of this process or of one below it.
inline double switches_of_all() {
  return sum_of_all([](pid_t pid) {
    double all = 0;
    std::error_code gone;
    const std::filesystem::path tasks = "/proc/" + std::to_string(pid) + "/task";
    for (const auto& task : std::filesystem::directory_iterator{tasks, gone}) {
      std::ifstream status{task.path() / "status"};
      for (std::string line; std::getline(status, line);) {
        const auto colon = line.find("ctxt_switches:");
        if (colon != std::string::npos) all += std::atof(line.c_str() + line.find(':') + 1);
      }
    }
    return all;
  });
}

/// Times `calls` calls, after a tenth that is not timed; `pause()` comes before each. Reports p50, p99 and the
/// CPU time per call of this process and all that are below it.
template <typename Pause, typename Call>
void measure_calls(const report& report, std::string_view variant, int calls, Pause pause,
                   Call call) {
  std::vector<double> samples;
  samples.reserve(static_cast<std::size_t>(calls));
  double cpu = 0;
  for (int i = -calls / 10; i < calls; ++i) {
    if (i == 0) cpu = cpu_seconds_of_all();
    pause();
    const double ns = elapsed_ns([&] { call(i); });
    if (i >= 0) samples.push_back(ns);
  }
  const double used = cpu_seconds_of_all() - cpu;
  report("p50_ns", percentile(samples, 0.50), variant);
  report("p99_ns", percentile(samples, 0.99), variant);
  report("cpu_ns_per_call", used / calls * 1e9, variant);
}

inline double resident_bytes() {
  std::ifstream statm{"/proc/self/statm"};
  double size = 0;
  double resident = 0;
  statm >> size >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

inline int thread_count() {
  return static_cast<int>(std::distance(std::filesystem::directory_iterator{"/proc/self/task"},
                                        std::filesystem::directory_iterator{}));
}

}  // namespace bench
