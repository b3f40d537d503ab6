// SPDX-License-Identifier: MIT
// The inside of a process_pool_executor. All bookkeeping is here, in the parent, behind one lock; the
// workers only run what they are sent.
//
//   submitter   encodes the call; under the lock queues it and pumps: queued calls go to workers
//   waiter      while it waits, it reads answers itself, as long as no other waiter does
//   collector   a thread: reads answers when nobody else does, starts workers, buries them, keeps time
//
// No user code (encoding, decoding, callbacks) runs under the lock, nor anything that takes a state's
// LOCK, under which others ask for this one.
#pragma once

#include <cadre/errors.hpp>
#include <cadre/process_pool_executor.hpp>

#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "executor/histogram.hpp"
#include "executor/room.hpp"
#include "future/waiter.hpp"
#include "ipc/poller.hpp"
#include "process/remote_worker.hpp"
#include "process/task.hpp"
#include "process/worker_starter.hpp"
#include "sync/mutex.hpp"
#include "sync/parker.hpp"

namespace cadre {

class process_pool_executor::impl final : public detail::call_owner,
                                          public detail::wait_helper,
                                          public std::enable_shared_from_this<impl> {
 public:
  explicit impl(process_pool_options options);
  ~impl();

  void enqueue(detail::state_base& call, const submit_options& options);
  shutdown_report shutdown(const shutdown_options& options);
  void end_workers(int signal);
  executor_stats stats();
  std::vector<int> worker_pids();
  unsigned max_workers() const noexcept { return max_workers_; }
  bool forked() const noexcept { return generation_ != detail::fork_generation(); }

  // call_owner
  bool withdraw(detail::state_base& call) noexcept override;
  bool has_begun(detail::state_base& call) noexcept override;
  bool stop_call(detail::state_base& call) noexcept override;
  detail::wait_helper* begin_help(detail::state_base& call) noexcept override;
  // wait_helper
  void help(detail::state_base& awaited, detail::time_point deadline) noexcept override;
  void end_help(detail::state_base& awaited) noexcept override;

 private:
  using clock = std::chrono::steady_clock;
  using lock = std::unique_lock<sync::mutex>;
  using worker_ptr = std::unique_ptr<process::remote_worker>;

  /// A call whose fate is known, to be told without the lock.
  struct verdict {
    process::task* of;
    process::answer* answered = nullptr;  // or, if null:
    std::exception_ptr error = nullptr;

    bool is_value() const noexcept {
      return answered != nullptr && answered->header.kind == process::frame_kind::value;
    }
  };

  enum class phase : std::uint8_t {
    fresh,  // no collector as yet
    open,
    closed
  };

  // process_pool.cpp: submitters and the public face
  bool is(phase p) const noexcept {
    // relaxed: what counts is looked at under the lock.
    return phase_.load(std::memory_order_relaxed) == p;
  }
  bool closed() const noexcept { return is(phase::closed); }
  bool open();
  void close() noexcept;
  std::uint32_t sample() const noexcept;
  process::task* prepare(detail::state_base& call, const submit_options& options);
  void reserve_room();
  [[noreturn]] void refuse();
  void accept(process::task& t, lock& held);
  void fail_unsent(detail::state_base& call, std::exception_ptr reason) noexcept;
  void cancel_pending();
  void fail_queued(lock& held, const std::string& why);
  bool wait_until_idle(detail::time_point deadline) noexcept;
  void join_collector() noexcept;

  // dispatch.cpp: who runs what
  void pump();
  bool is_short_of_workers() const noexcept;
  process::remote_worker* choose_worker(std::size_t most, std::size_t size) noexcept;
  std::size_t window() const noexcept;
  bool send(process::remote_worker& w, process::task& t);
  void spread();
  bool take_back(process::remote_worker& w, std::uint64_t number);
  void begin_head(process::remote_worker& w) noexcept;
  bool drain(process::remote_worker& w, lock& held);
  void initialised(process::remote_worker& w, const process::answers& from,
                   const process::answer& a);
  void take_answer(process::remote_worker& w, const process::answers& from, process::answer& a,
                   std::vector<verdict>& to);
  void measure(const process::task& t, const process::answer_header& a) noexcept;
  void count(const std::vector<verdict>& all) noexcept;
  void conclude(const process::answers& from, std::vector<verdict>& all, lock& held) noexcept;
  void retire_if_due(process::remote_worker& w, const process::answer_header& a);
  void count_as_failed() noexcept;
  void end_worker(process::remote_worker& w);
  void condemn(process::remote_worker& w, const char* why = process::remote_worker::damaged);
  void over(std::size_t calls) noexcept;
  static const impl*& concluding_here() noexcept;

  // collector.cpp: the thread
  void start_collector();
  void wake_collector() noexcept { control_->ring(); }
  void collect();
  bool collect_once(lock& held);
  bool arm_all() noexcept;
  void disarm_all() noexcept;
  void start_worker(lock& held);
  void greet(process::remote_worker& w);
  process::request_header header_of(const detail::call_descriptor& descriptor,
                                    process::frame_kind kind) const;
  bool keep_time(clock::time_point now);
  bool set_apart(process::remote_worker& w, const process::task& t);
  bool relieve_slow(clock::time_point now);
  clock::time_point next_deadline() const noexcept;
  process::worker_spec spec_of(unsigned index) const;

  // deaths.cpp: what becomes of the calls of the dead
  void bury_dead(lock& held);
  void break_as_deferred(lock& held);
  void bury(process::remote_worker& w, const process::death_report& how, lock& held);
  std::exception_ptr timed_out(const process::task& t) const;
  std::exception_ptr protocol_broken(const process::task& t, const process::remote_worker& w) const;
  std::exception_ptr verdict_on(const process::task& t, const process::remote_worker& w,
                                const process::death_report& how) const;
  void break_pool(std::string why, lock& held);

  const unsigned max_workers_;
  const unsigned generation_ = detail::fork_generation();
  process_pool_options options_;
  encoder initializer_, finalizer_;  // those of the options, as they are sent
  std::unique_ptr<detail::room> room_;
  // Wakes the collector. Shared memory that outlives the pool may ring it.
  const std::shared_ptr<ipc::event> control_ = std::make_shared<ipc::event>();
  ipc::poller poller_;

  sync::atomic<phase> phase_{phase::fresh};  // changes under the lock
  sync::atomic<std::uint32_t> period_{1};    // of sample()

  mutable sync::mutex mutex_;  // guards what follows
  std::shared_ptr<process::worker_starter> starter_;
  std::map<std::uint64_t, worker_ptr> workers_;  // by token; living and dying
  std::uint64_t next_token_ = 1;
  process::task_queue queue_;
  std::size_t outstanding_ = 0;  // calls accepted and not over
  std::vector<std::pair<std::uint64_t, process::death_report>> deaths_;  // with tokens
  bool start_wanted_ = false;
  bool killed_ = false;       // by end_workers(): nothing runs again
  bool finished_ = false;     // the collector has nothing more to do
  bool helping_ = false;      // a waiter reads answers
  bool helped_ = false;       // one did, since the collector last looked
  bool armed_ = false;        // workers ring for their answers
  bool sleeps_long_ = false;  // the collector, until somebody rings
  std::size_t helpers_ = 0;
  unsigned failed_starts_ = 0;  // in a row
  std::string broken_why_;
  std::string deferred_break_;             // for the collector to do
  std::vector<std::byte> deferred_cause_;  // an encoded exception, or nothing
  std::uint64_t mean_run_ns_ = 0;          // of late; 0: not known
  executor_stats totals_;
  detail::histogram queue_times_, run_times_;
  std::thread collector_;
  sync::atomic<std::uint32_t> changes_{0};  // a futex word: outstanding_, helpers_ or workers_ fell
};

}  // namespace cadre
