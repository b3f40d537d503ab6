// SPDX-License-Identifier: MIT
// timers: what waits for its time, for all executors, and the one thread that waits with it.
//
// The thread starts with the first timer and ends a moment after the last one. It is detached and
// touches only memory that is never freed, so that the program may end meanwhile.
//
//   field                         who reads and writes it
//   heap_, next_number_,          whoever holds mutex()
//   firing_, enders_,
//   has_thread_, repeated_
//   cancelled_, size_             any thread; a hint when to sweep
//   changed_                      the thread sleeps on it; whoever set an earlier time wakes it
//   fired_                        a futex word: end() sleeps on it while the thread is firing
//
// No lock is held while a timer fires, is dropped or is destroyed: all three run user code.
#pragma once

#include <cadre/detail/timed_call.hpp>
#include <cadre/executor.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "sync/mutex.hpp"
#include "sync/parker.hpp"

namespace cadre::detail {

/// True on the thread that fires timers: what it calls must not block.
bool on_timer_thread() noexcept;

/// Something that waits for its time.
class timer {
 public:
  explicit timer(executor* e) noexcept : where{e} {}
  timer(const timer&) = delete;
  timer& operator=(const timer&) = delete;
  virtual ~timer() = default;

  /// Its time has come. On the timer thread.
  virtual void fire() noexcept = 0;
  /// Its executor shuts down.
  virtual void fail(const std::exception_ptr& reason) noexcept = 0;
  /// True if it was cancelled.
  virtual bool is_dead() noexcept = 0;

  executor* const where;        // whose end fails it; null: of none
  std::unique_ptr<timer> next;  // a list of those that left the heap
};

class timers final : public call_owner {
 public:
  static timers& instance();

  /// Throws std::system_error if the thread cannot be started.
  void add(std::unique_ptr<timer> t, time_point due);

  void enlist(repeated_call& series) noexcept;
  /// As add(), for the next run of a series; does nothing if end() was faster.
  void add_again(repeated_call& series, std::unique_ptr<timer> t, time_point due);
  void strike(repeated_call& series) noexcept;

  /// Fails the timers of `where`, and waits while one of them is firing.
  static void end(const executor& where);

  /// One of the calls here, or one that was, is cancelled.
  bool withdraw(state_base& call) noexcept override;
  /// The same of a timer that is no call.
  void note_dead() noexcept;

  /// For fork(): the thread and the executors are the parent's.
  void forget_parents() noexcept;

 private:
  struct entry {
    time_point due;
    std::uint64_t number;
    std::unique_ptr<timer> what;
  };
  struct later {
    bool operator()(const entry& a, const entry& b) const noexcept {
      return a.due != b.due ? a.due > b.due : a.number > b.number;
    }
  };
  using lock = std::unique_lock<sync::mutex>;

  timers() = default;

  void add_locked(std::unique_ptr<timer> t, time_point due);
  void run() noexcept;
  bool sleep(lock& held, time_point deadline) noexcept;
  void fire_first(lock& held) noexcept;
  void sweep(lock& held) noexcept;
  bool needs_sweep() const noexcept;
  template <typename Predicate>
  std::unique_ptr<timer> take_if(Predicate wanted) noexcept;
  void end_all(const executor& where);
  void strike_locked(repeated_call& series) noexcept;
  void set_size() noexcept;

  std::vector<entry> heap_;  // the earliest first
  std::uint64_t next_number_ = 0;
  const executor* firing_ = nullptr;
  unsigned enders_ = 0;  // threads that sleep in end()
  bool has_thread_ = false;
  repeated_call* repeated_ = nullptr;  // all series that have not ended
  sync::atomic<std::size_t> size_{0};
  sync::atomic<std::size_t> cancelled_{0};
  sync::parker changed_;
  sync::atomic<std::uint32_t> fired_{0};
};

}  // namespace cadre::detail
