// SPDX-License-Identifier: MIT
// Runs a piece of concurrent code under every schedule, up to a number of preemptions.
//
//     auto lost_update = explore([] {
//       sync::atomic<int> n{0};
//       auto increment = [&] { n.store(n.load() + 1); };
//       in_parallel(increment, increment);
//       check(n.load() == 2, "no increment is lost");
//     });                                  // lost_update.failure has the schedule, step by step
//
// How        Threads are fibers of one system thread. Before every atomic operation and futex call
//            the explorer chooses who goes on. It remembers the choices, and runs the body again
//            and again, changing the last one that has an alternative, as long as the order of two
//            steps that it would change matters (stateless search with iterative context bounding,
//            Musuvathi and Qadeer, PLDI 2007, and partial-order reduction; see path.hpp).
// Finds      failed checks, deadlocks, lost wake-ups, livelocks, exceptions that leave a thread,
//            crashes, atomics used after their block was freed or their stack frame left, leaked blocks.
// Does not   find what needs a weaker memory than sequential consistency, nor races on plain
//            variables: ThreadSanitizer does. Schedules that differ only in the order of plain
//            accesses are not told apart.
// Time       A sleeper with a deadline may time out at any step; steady_clock then shows it.
// Requires   a body that does the same in every run but for the schedule, and keeps nothing that it
//            allocated.
#pragma once

#include <climits>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace cadre_model {

inline constexpr int unlimited = INT_MAX;

/// 2, or what the environment variable CADRE_MODEL_PREEMPTIONS says.
int default_preemptions();

struct options {
  /// How often a schedule may take the processor from a thread that could go on. Most bugs need one
  /// or two; the number of schedules grows with the number of steps to this power.
  int preemptions = default_preemptions();

  /// Lets every thread return once from futex_wait without a wake.
  bool spurious = false;

  /// False: also runs the schedules that differ from others in nothing that matters.
  bool reduce = true;

  /// Blocks that a schedule leaves on the heap are a failure.
  bool leaks = true;

  /// This thread, as numbered by in_parallel, is killed before its step `killed_at`: it stops there
  /// as a process does by SIGKILL, and destroys nothing. 0: none.
  int victim = 0;
  std::size_t killed_at = 0;

  /// A longer search fails instead of passing for a complete one.
  std::uint64_t max_schedules = 3'000'000;

  /// A longer schedule is a livelock.
  std::size_t max_steps = 20'000;
};

struct result {
  std::uint64_t schedules = 0;
  bool killed = false;                 // the victim lived to be killed, in some schedule
  std::optional<std::string> failure;  // what went wrong, and the schedule that leads there
};

/// Runs `body` under every schedule that makes a difference, those with fewer preemptions first, until one fails.
result explore(const options& how, const std::function<void()>& body);
result explore(const std::function<void()>& body);

/// Inside a body: runs the functions at the same time and returns when all have returned.
void run_threads(std::initializer_list<std::function<void()>> functions);

template <typename... Functions>
void in_parallel(Functions&&... functions) {
  run_threads({std::function<void()>{std::ref(functions)}...});
}

/// Inside a body or thread: unless `condition`, the schedule has failed and goes no further.
void check(bool condition, const char* property);

/// 0 for the body itself, then 1, 2, ... in the order of the arguments of in_parallel.
int this_thread_id() noexcept;

/// Inside a body: what failures call the atomics inside `object`.
void label_range(const void* begin, std::size_t size, const char* name);

template <typename T>
void label(const T& object, const char* name) {
  label_range(&object, sizeof object, name);
}

}  // namespace cadre_model
