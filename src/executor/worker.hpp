// SPDX-License-Identifier: MIT
// A worker: one thread of a pool, its deque and its numbers.
//
//   member                     who
//   deque_                     push, pop: the worker; take, empty: any
//   bed_                       the worker and the dispatcher
//   started_ ... run_times_    written by the worker (relaxed), read by stats()
//   entries_                   guarded by entries_mutex_
//   the rest                   the worker
#pragma once

#include <cadre/detail/call.hpp>

#include <chrono>
#include <string>
#include <vector>

#include "executor/dispatcher.hpp"
#include "executor/histogram.hpp"
#include "executor/wait_graph.hpp"
#include "future/waiter.hpp"
#include "sync/spin.hpp"

namespace cadre::detail {

/// What a worker needs of its pool.
class worker_pool : public call_owner {
 public:
  /// Throws std::bad_alloc.
  worker_pool(unsigned max_workers, unsigned max_replacements)
      : queue{max_workers, max_replacements} {}

  /// Starts a thread if the limits allow. Never throws: the work can wait.
  virtual void try_start_worker() noexcept = 0;
  /// A call from somebody else's deque, or null.
  virtual state_base* steal(unsigned thief) noexcept = 0;
  virtual bool deques_empty() const noexcept = 0;
  /// A worker sleeps, or has ended.
  virtual void worker_rests() noexcept = 0;
  /// A queued call begins.
  virtual void call_begins() noexcept = 0;
  /// That many holds of tasks are over; see thread_pool_tasks.cpp.
  virtual void give_back_holds(unsigned count) noexcept = 0;

  dispatcher queue;
  std::chrono::nanoseconds spin{};
  std::chrono::nanoseconds idle_timeout{};

 protected:
  ~worker_pool() = default;
};

/// A worker's numbers, as stats() adds them up.
struct worker_totals {
  std::uint64_t submitted = 0, started = 0, finished = 0, failed = 0;
  histogram::counts queue_times{}, run_times{};
};

class alignas(64) worker final : public waiting_worker, private call_registry {
 public:
  /// Throws std::bad_alloc.
  worker(worker_pool& pool, unsigned index) : pool_{pool}, index_{index} {}

  /// Runs calls until there is no more need for this worker. On its thread.
  void run();

  /// On its own thread, from within a call. Throws std::bad_alloc.
  void submit(state_base& call);

  /// On its own thread: true if that was the newest call of its deque, which it is no longer.
  bool take_back(state_base& call) noexcept;

  state_base* steal_from() noexcept { return deque_.take(); }
  bool deque_empty() const noexcept { return deque_.empty(); }
  void add_to(worker_totals& totals) const noexcept;

  /// Asks the tracked calls that run here to stop.
  void request_stop();
  /// The names of the tracked calls that run here.
  void add_names(std::vector<std::string>& names);

  // waiting_worker
  void claim(state_base& awaited) override;
  void await_briefly(state_base& awaited) noexcept override;
  void begin_block(state_base* const* awaited, std::size_t count, bool untimed_all) override;
  void end_block() noexcept override;
  void begin_callbacks() noexcept override;
  bool wake_when_dry(const sync::parker* sleeper) noexcept override;
  bool works_for(const void* identity) const noexcept override { return identity == &pool_; }
  void repost(state_base& call) override { submit(call); }

  /// The worker's own: holds of the pool that no task uses now. None while it is idle.
  unsigned spare_holds = 0;

 private:
  using counter = sync::atomic<std::uint64_t>;

  struct context;

  // call_registry
  void enter(entry& e) noexcept override;
  void leave(entry& e) noexcept override;

  state_base* next();
  state_base* find();
  state_base* take_batch(bool all_to_own);
  state_base* spin_for_work();
  bool sleep_or_retire();
  bool retire(bool surplus);
  void execute(state_base& call, bool from_queue);
  void be_idle() noexcept;
  void be_busy() noexcept;
  void wake_others() noexcept;
  bool stack_has_room() noexcept;
  void measure_run_time(const context& c) noexcept;

  worker_pool& pool_;
  unsigned index_;
  call_deque deque_;
  sleeper bed_;

  const call_frame* stack_ = nullptr;
  context* outermost_ = nullptr;  // of the call from the queue that runs
  blocked_worker blocked_{};
  bool remembered_ = false;    // blocked_ is in the wait graph
  bool counted_idle_ = false;  // the census has this worker as idle
  unsigned turn_ = 0;          // of find()
  int trickle_ = 0;
  sync::spin_credit spinning_;
  int await_credit_ = 1;          // > 0: to await briefly paid lately
  unsigned await_turn_ = 0;       // of await_briefly() without credit
  std::uint32_t run_skip_ = 0;    // calls until the next one whose run time is measured
  std::uint32_t run_period_ = 1;  // one call in so many is measured
  std::uintptr_t stack_limit_ = 0;

  counter submitted_{0}, started_{0}, finished_{0}, failed_{0};
  histogram queue_times_, run_times_;

  sync::mutex entries_mutex_;
  entry* entries_ = nullptr;
};

}  // namespace cadre::detail
