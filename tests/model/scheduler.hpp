// SPDX-License-Identifier: MIT
// Runs one schedule: the threads of a body, in the order that a path says.
#pragma once

#include <cadre_model/futex.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "explorer.hpp"
#include "fiber.hpp"
#include "path.hpp"
#include "races.hpp"
#include "trace.hpp"

namespace cadre_model {

using cadre::sync::never;
using cadre::sync::time_point;

/// A model thread. It is suspended either before an operation, which it performs when it is chosen,
/// or asleep, or while it waits for other threads to finish.
struct model_thread {
  enum class condition { ready, paused, asleep, joining, finished };
  using routine = void* (*)(void*);

  model_thread(int number, void (*entry)(void*)) : id{number}, context{entry, this} {}

  const int id;
  fiber context;
  model_thread* parent = nullptr;
  std::size_t birth = 0;  // the number of steps before it was started
  routine work = nullptr;
  void* argument = nullptr;
  void* returned = nullptr;
  condition now = condition::finished;

  model_thread* advanced_by = nullptr;  // who lets it run up to its first operation
  model_thread* joiner = nullptr;       // who waits until it has finished
  std::size_t joins = 0;                // joining: how many threads have not finished

  const void* word = nullptr;     // asleep: on this futex
  std::uint64_t fell_asleep = 0;  // asleep: the order in which wakes come
  time_point deadline = never;    // asleep
  bool timed_out = false;
  bool may_wake_spuriously = false;

  bool pausing = false;        // pause() since the last operation
  std::uint64_t news = 0;      // changes by others that it could see when it last paused
  std::uint64_t changes = 0;   // its own
  std::uint64_t spun_out = 0;  // 1 + all changes when it last spun out
  int patience = 0;            // spinning out: pauses that it passes without waiting

  std::size_t steps = 0;  // that it began
  bool killed = false;    // midway: its fiber must be restarted
};

class scheduler {
 public:
  explicit scheduler(const options& how);

  /// Runs `body` as `choices` say. Returns what went wrong.
  std::optional<std::string> run(const std::function<void()>& body, path& choices,
                                 int allowed_preemptions);

  // --- called by the running thread ---

  /// Returns when the running thread is chosen to perform its next operation.
  void announce(const void* address, detail::access kind) noexcept;
  /// The running thread's step does this. Demands that others had gone before, where that matters.
  void access(const void* address, bool writes) noexcept;
  /// Nobody should access it any more.
  void end(const void* address) noexcept {
    if (races_.knows(address)) access(address, true);
  }
  void record(const char* operation, const void* address, std::uint64_t before,
              std::uint64_t after) noexcept;
  bool sleep_if(const cadre::sync::atomic<std::uint32_t>& word, std::uint32_t expected,
                time_point deadline) noexcept;
  void wake(const void* word, int count) noexcept;
  void pause() noexcept;
  time_point clock() const noexcept { return clock_; }

  model_thread& start(model_thread::routine work, void* argument);
  void join(std::span<model_thread* const> threads) noexcept;
  model_thread& running() const noexcept { return *running_; }
  bool has_killed() const noexcept { return has_killed_; }

  /// The schedule goes no further.
  [[noreturn]] void fail(const std::string& what) noexcept;
  void label(const void* begin, std::size_t size, const char* name);

 private:
  using condition = model_thread::condition;

  /// A thread to go on with, and how.
  struct option {
    enum class way { go_on, spin_out, time_out, wake_spuriously };
    model_thread* thread;
    way how;
    int cost;  // preemptions
  };

  static void thread_main(void* self);
  void end_body() noexcept;
  void finish(model_thread& thread) noexcept;
  model_thread& add_thread(model_thread::routine work, void* argument);
  void advance(model_thread& thread) noexcept;
  void suspend() noexcept;
  void switch_to(model_thread& thread) noexcept;
  option choose();
  void find_options();
  void add_option(model_thread& thread, option::way how, bool somebody_could_go_on);
  void demand(std::size_t step, const model_thread& thread) noexcept;
  void take(const option& chosen) noexcept;
  bool has_news(const model_thread& thread) const noexcept;
  bool could_go_on(const model_thread& thread) const noexcept;
  void check_alive(const void* address) noexcept;
  void note(const model_thread& thread, const char* event, const void* address = nullptr) noexcept;
  std::string describe_threads() const;

  const options how_;
  fiber outside_;
  std::vector<std::unique_ptr<model_thread>> threads_;  // reused; the first used_ are in use

  // The schedule that runs:
  path* choices_ = nullptr;
  int allowed_preemptions_ = 0;
  std::size_t used_ = 0;
  model_thread* running_ = nullptr;
  int preemptions_ = 0;
  std::uint64_t changes_ = 0;
  std::uint64_t sleeps_ = 0;
  time_point clock_;
  std::vector<option> options_;
  std::vector<path::alternative> alternatives_;  // as options_
  races races_;
  trace trace_;
  std::optional<std::string> failure_;
  bool has_killed_ = false;
};

/// The one that runs a schedule now, or null.
extern scheduler* active;

}  // namespace cadre_model
