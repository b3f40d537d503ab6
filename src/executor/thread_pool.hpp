// SPDX-License-Identifier: MIT
// The inside of a thread_pool_executor. Shared by the executor and its threads, so that a pool may
// be destroyed by one of its own calls.
//
// Memory: submit() may throw std::bad_alloc, and then nothing was queued. What is queued reaches a
// worker without more; a worker thread that cannot be started is done without, but for the first. A
// pool that breaks, or a shutdown that fails timers or stops what runs, needs some to say why: without,
// break_pool() and destructors end the program by std::terminate, since calls would wait for ever.
#pragma once

#include <cadre/errors.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <exception>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/scheduling.hpp"
#include "base/signals.hpp"
#include "base/thread.hpp"
#include "executor/call_list.hpp"
#include "executor/room.hpp"
#include "executor/worker.hpp"

namespace cadre {

class thread_pool_executor::impl final : public detail::worker_pool,
                                         public detail::task_host,
                                         public std::enable_shared_from_this<impl> {
 public:
  // More replacements: more calls may wait for things outside the pool before a pool of blocked
  // workers stands still. Fewer: less memory for threads that only wait.
  static constexpr unsigned max_replacements = 64;
  static constexpr unsigned most_workers = 2000;  // with the replacements below the census' 4095

  explicit impl(thread_pool_options options);
  ~impl();

  void enqueue(detail::state_base& call, int priority);
  void enqueue_all(detail::state_base*& first, std::size_t count);
  shutdown_report shutdown(const shutdown_options& options);
  executor_stats stats();
  /// All workers, if the options ask for it. Throws std::system_error and std::bad_alloc; the pool is shut
  /// down then.
  void prestart();
  unsigned max_workers() const noexcept { return queue.max_workers(); }
  void resize(int max_workers);
  void pause() noexcept;
  void resume() noexcept;
  bool paused() const noexcept { return queue.paused(); }
  /// False if the time was over before. Throws deadlock_error.
  bool wait_idle(sync::time_point deadline);
  /// Null: it is being destroyed.
  void belong_to(local_executor* e) noexcept {
    // release: pairs with the acquire in this_worker::executor().
    executor_.store(e, std::memory_order_release);
  }
  bool forked() const noexcept { return generation_ != detail::fork_generation(); }

  // worker_pool
  void try_start_worker() noexcept override;
  detail::state_base* steal(unsigned thief) noexcept override;
  bool deques_empty() const noexcept override;
  void worker_rests() noexcept override { tell_idle(); }
  void call_begins() noexcept override {
    if (room_) room_->leave();
  }
  void give_back_holds(unsigned count) noexcept override;
  // call_owner
  bool withdraw(detail::state_base& call) noexcept override;
  // task_host
  void hold() override;
  void release() noexcept override;
  void resume_task(detail::state_base& rest, int priority) override;
  bool has_thieves() const noexcept override { return true; }
  bool take_back(detail::state_base& call) noexcept override;
  void enter(detail::call_registry::entry& e) noexcept override;
  void leave(detail::call_registry::entry& e) noexcept override;
  bool resumes_inline() const noexcept override { return false; }

 private:
  /// A place for a worker. Workers come and go; the place and its numbers stay.
  struct place {
    std::unique_ptr<detail::worker> worker;
    detail::thread thread;  // guarded by places_mutex_
    bool occupied = false;  // guarded by places_mutex_
  };

  /// They stay where they are when there are to be more. Made under places_mutex_; who reads without has
  /// seen by places_used_ that there are so many.
  class place_list {
   public:
    explicit place_list(std::size_t count) : first_(count) {}

    /// Throws std::bad_alloc, and then nothing changed.
    void grow_to(std::size_t count);
    std::size_t size() const noexcept { return first_.size() + rest_.size(); }
    place& operator[](std::size_t i) noexcept {
      return i < first_.size() ? first_[i] : rest_[i - first_.size()];
    }
    const place& operator[](std::size_t i) const noexcept {
      return i < first_.size() ? first_[i] : rest_[i - first_.size()];
    }

   private:
    std::vector<place> first_;
    std::vector<place> rest_;  // none, or as many as there can ever be
  };

  /// Throws std::invalid_argument.
  static unsigned checked(int workers);
  detail::worker* own_worker_here() const noexcept;
  bool make_room(detail::state_base& call);
  void run_here(detail::state_base& call) noexcept;
  void accept(detail::state_base& call, int priority);
  /// Queues a call for which there is room, by `put`. On an exception, gives back the room.
  template <typename Put>
  void keep_room(const Put& put) {
    try {
      put();
    } catch (...) {
      if (room_) room_->leave();
      throw;
    }
  }
  void repost(detail::worker& own, detail::state_base& call);
  void close_unless_held();
  void close() noexcept;
  void after_push(detail::dispatcher::outcome outcome);
  bool start_first_worker();
  void try_start_without_join() noexcept;
  bool occupy_place();
  void join_leaving() noexcept;
  void thread_main(unsigned index);
  bool initialise(unsigned index);
  void name_and_bind(unsigned index);
  void break_pool(const char* what, const std::exception_ptr& reason) noexcept;
  [[noreturn]] void refuse();
  void drop_pending(const std::exception_ptr& reason) noexcept;
  bool held() const noexcept {
    // acquire: pairs with the release half in give_back_holds(): the tasks are gone.
    return holds_.load(std::memory_order_acquire) > 1;
  }
  void stop_suspended();
  void add_suspended(shutdown_report& report);
  void requeue(detail::state_base& rest) noexcept;
  class submitters_call;
  bool is_call_here() const noexcept;
  void wake_for_work() noexcept;
  bool is_idle() noexcept;
  void tell_idle() noexcept;
  bool wait_for_workers(sync::time_point deadline) noexcept;
  shutdown_report report(bool complete);
  template <typename Function>
  void for_each_worker(Function function) const;

  const unsigned generation_ = detail::fork_generation();
  thread_pool_options options_;
  // Of the thread that made the pool. Its workers have them, whoever it is that starts them.
  const scheduling scheduling_ = scheduling::of_this_thread();
  const sigset_t blocked_signals_ = blocked_signals();
  std::unique_ptr<detail::room> room_;
  sync::atomic<local_executor*> executor_{nullptr};

  place_list places_;  // as many as there may be workers
  sync::atomic<unsigned> places_used_{0};
  sync::mutex places_mutex_;
  std::vector<detail::thread> leaving_;  // guarded by places_mutex_; in their last lines, or ended

  // Every submitter reads it.
  sync::atomic<bool> refusing_{false};

  // Twice the holds of tasks and of workers, and one when it is to close as soon as there is none.
  alignas(64) sync::atomic<std::uint64_t> holds_{0};
  sync::mutex suspended_mutex_;
  detail::call_list suspended_;  // guarded by suspended_mutex_: tasks
  std::shared_ptr<impl> self_;   // guarded by suspended_mutex_: until closed

  sync::mutex reason_mutex_;
  std::string broken_why_;  // guarded by reason_mutex_; empty: shut down in good order

  sync::atomic<std::uint64_t> cancelled_{0};
  sync::atomic<std::uint64_t> run_by_callers_{0};        // calls accepted and not queued
  sync::atomic<std::uint64_t> ended_elsewhere_[2] = {};  // not on a worker: that failed, returned
  sync::atomic<std::uint32_t> departures_{0};            // a futex word: changes when a worker ends
  sync::atomic<std::uint32_t> running_here_{0};          // calls that submitters run
  sync::atomic<std::uint32_t> idle_waiters_{0};
  sync::atomic<std::uint32_t> rests_{
      0};  // a futex word: changes when the pool may be idle, if one waits
};

}  // namespace cadre
