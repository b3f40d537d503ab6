// SPDX-License-Identifier: MIT
// The inside of a process_pool_executor. All bookkeeping is here, in the parent, behind one lock; the
// workers only run what they are sent.
//
//   submitter   encodes the call; under the lock queues it and pumps: queued calls go to workers
//   waiter      while it waits, it reads answers itself, as long as no other waiter does
//   collector   a thread: reads answers when nobody else does, buries workers, keeps time
//   crew        threads that may take long: they start workers and run the user's code
//
// The user's code (encoding, decoding, callbacks, destructors of values, hooks) runs on the crew, on a
// submitter, or on a waiter that reads no answers for others any more. Never on the collector, nor on a
// waiter that helps: callbacks are taken from those (callback_taker), and results that are not plain
// (portable_call_traits::is_plain) are handed to the crew with their bytes.
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
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/scheduling.hpp"
#include "executor/histogram.hpp"
#include "executor/room.hpp"
#include "future/waiter.hpp"
#include "ipc/poller.hpp"
#include "process/crew.hpp"
#include "process/done_bell.hpp"
#include "process/pending_bytes.hpp"
#include "process/remote_worker.hpp"
#include "process/task.hpp"
#include "process/worker_starter.hpp"
#include "sync/mutex.hpp"
#include "sync/parker.hpp"

namespace cadre {

class process_pool_executor::impl final : public detail::call_owner,
                                          public detail::wait_helper,
                                          private detail::callback_taker,
                                          public std::enable_shared_from_this<impl> {
 public:
  explicit impl(process_pool_options options);
  ~impl();

  void enqueue(detail::state_base& call, const submit_options& options);
  shutdown_report shutdown(const shutdown_options& options);
  void end_workers(int signal);
  executor_stats stats();
  /// All workers, if the options ask for it. Does not wait for them. Throws std::system_error.
  void prestart();
  std::vector<int> worker_pids();
  unsigned max_workers() const noexcept { return max_workers_; }
  bool forked() const noexcept { return generation_ != detail::fork_generation(); }

  // call_owner
  bool withdraw(detail::state_base& call) noexcept override;
  bool has_begun(detail::state_base& call) noexcept override;
  bool stop_call(detail::state_base& call) noexcept override;
  detail::wait_helper* begin_help(detail::state_base& call, bool naps) noexcept override;
  // wait_helper
  void help(detail::state_base& awaited, detail::time_point deadline) noexcept override;

 private:
  using clock = std::chrono::steady_clock;
  using lock = std::unique_lock<sync::mutex>;
  using worker_ptr = std::unique_ptr<process::remote_worker>;

  void ask_to_stop(process::task& t) noexcept;

  /// A call whose fate is known, to be told without the lock.
  struct verdict {
    process::task* of;
    process::answer* answered = nullptr;  // or, if null:
    std::exception_ptr error = nullptr;

    bool is_value() const noexcept {
      return answered != nullptr && answered->header.kind == process::frame_kind::value;
    }
  };

  // So often the collector looks whether a waiter that read answers still does, and so long an answer may lie
  // while its worker has more to do, in a stream of them. A shorter time is more wake-ups, each of which takes a
  // processor from a worker; a longer one lets answers lie.
  static constexpr std::chrono::milliseconds collector_look{1};

  static constexpr std::size_t least_in_hand = 2;

  static constexpr std::uint64_t control_token = 0;  // in the poller; workers' begin with 1
  // A worker's socket, which it uses once, has its token and this bit.
  static constexpr std::uint64_t hello_bit = std::uint64_t{1} << 63;
  /// An answer to be decoded elsewhere, with its bytes.
  struct untold {
    process::task* of = nullptr;
    process::answers from;

    void take(process::task& t, process::answers& batch, process::answer& a);
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
  [[noreturn]] void refuse();
  void accept(process::task& t, lock& held);
  void fail_unsent(detail::state_base& call, std::exception_ptr reason) noexcept;
  void take_away(process::task& t) noexcept;
  void cancel_pending();
  std::string pending_calls_failed() const;
  void fail_queued(lock& held, const std::string& why);
  void tell_shutdown() noexcept;
  bool wait_until_idle(detail::time_point deadline) noexcept;
  void join_collector() noexcept;

  // admission.cpp: who is let in
  void reserve_room(const detail::state_base& call);
  void await_bytes(const detail::state_base& call);
  void give_back(std::size_t calls, std::size_t bytes) noexcept;

  // dispatch.cpp: who runs what
  /// What one look at all workers tells.
  struct crowd {
    std::size_t initialising = 0;  // workers
    std::size_t waiting = 0;       // calls that a worker has in hand and is not at
    bool any_starting = false;
    bool any_idle = false;
    bool any_behind = false;  // calls, or what is left of those that were taken back
  };
  void pump();
  crowd look_around() const noexcept;
  bool may_have_more_workers() const noexcept;
  bool is_short_of_workers(const crowd& now) const noexcept;
  process::remote_worker* choose_worker(std::size_t most, std::size_t size) noexcept;
  std::size_t window() const noexcept;
  bool send(process::remote_worker& w, process::task& t);
  void spread();
  bool take_back(process::remote_worker& w, std::uint64_t number);
  void begin_head(process::remote_worker& w) noexcept;
  bool drain(process::remote_worker& w, lock& held, const detail::state_base* own = nullptr,
             std::optional<untold>* kept = nullptr);
  void initialised(process::remote_worker& w, const process::answers& from,
                   const process::answer& a);
  void take_answer(process::remote_worker& w, const process::answers& from, process::answer& a,
                   std::vector<verdict>& to);
  void measure(const process::task& t, const process::answer_header& a) noexcept;
  void count(const std::vector<verdict>& all) noexcept;
  void conclude(process::answers& from, std::vector<verdict>& all, lock& held,
                const detail::state_base* own = nullptr,
                std::optional<untold>* kept = nullptr) noexcept;
  void conclude(std::vector<verdict>& all, lock& held) noexcept;
  void decode_answer(process::task& t, const process::answers& from, process::answer& a) noexcept;
  void drop(process::task& t) noexcept;
  void tell(untold& what) noexcept;
  void give_to_crew(process::crew::job work);
  bool take(detail::state_base& done, detail::listener* callbacks) noexcept override;
  bool is_busy_for(std::chrono::nanoseconds time) const noexcept;
  void give_up_helping(bool answered) noexcept;
  process::remote_worker* worker_with(const detail::state_base& call) noexcept;
  bool attend(process::remote_worker& at, detail::state_base& awaited, process::done_bell& bell,
              detail::time_point deadline, lock& held, std::optional<untold>& own);
  bool sleep_at_worker(detail::state_base& awaited, detail::time_point deadline, lock& held,
                       std::optional<untold>& own);
  void retire_if_due(process::remote_worker& w, const process::answer_header& a);
  void count_as_failed() noexcept;
  void begin_end(process::remote_worker& w) noexcept;
  void end_worker(process::remote_worker& w);
  void limit_end(process::remote_worker& w) noexcept;
  void condemn(process::remote_worker& w, const char* why = process::remote_worker::damaged);
  void over(std::size_t calls) noexcept;
  class user_code;
  static const impl*& user_code_here() noexcept;

  // collector.cpp: the thread
  void start_collector();
  void wake_collector() noexcept { control_->ring(); }
  void collect();
  bool collect_once(lock& held);
  bool arm_all(bool late) noexcept;
  void disarm_all() noexcept;
  bool keep_time(clock::time_point now);
  void stop_head(process::remote_worker& w, process::task& t);
  void force_end(process::remote_worker& w);
  void limit_debts(process::remote_worker& w) noexcept;
  void end_leftovers(std::chrono::nanoseconds grace) noexcept;
  bool set_apart(process::remote_worker& w, process::task& t);
  bool relieve_slow(clock::time_point now);
  clock::time_point next_deadline() const noexcept;

  // births.cpp: workers that start
  void acquire_starter(lock& held);
  void start_worker(lock& held);
  /// How the launch of the worker with that token went.
  struct launch_result {
    std::uint64_t token;
    std::uint64_t process;  // 0: it failed
    pid_t pid;
    std::string failure;
    bool passes;  // the next attempt may succeed
  };
  void launch(process::remote_worker& w, lock& held) noexcept;
  void abandon_launch(process::remote_worker& w, const char* why) noexcept;
  void launched(launch_result how);
  static launch_result failure_of(std::uint64_t token, const std::exception& why);
  void take_launches(lock& held);
  void launch_failed(const launch_result& how, lock& held);
  unsigned free_index() const noexcept;
  // What is spent when a worker is not born, or dies before its first call, and all that may be.
  static constexpr unsigned start_budget = 16;
  static constexpr unsigned cost_of_silence = 2;  // no hello: it took a while to find out
  // It said that it cannot begin, or its initializer killed it: the next one will do the same.
  static constexpr unsigned cost_of_refusal = 6;
  void start_failed(unsigned cost) noexcept;
  void start_succeeded() noexcept;
  bool has_workers() const noexcept;
  bool start_due() const noexcept { return start_wanted_ && !pausing_; }
  void greet(process::remote_worker& w);
  process::request_header header_of(const detail::call_descriptor& descriptor,
                                    process::frame_kind kind) const;
  process::worker_spec spec_of(unsigned index) const;

  // deaths.cpp: what becomes of the calls of the dead
  void bury_dead(lock& held);
  void break_as_initialiser_failed(unsigned index, const std::vector<std::byte>& cause) noexcept;
  worker_ptr take_out(process::remote_worker& w) noexcept;
  void bury(process::remote_worker& w, const process::death_report& how, lock& held);
  std::exception_ptr timed_out(const process::task& t) const;
  std::exception_ptr verdict_on(const process::task& t, const process::remote_worker& w,
                                const process::death_report& how, bool killed) const;
  void break_pool(std::string why, lock& held);

  const unsigned max_workers_;
  const unsigned generation_ = detail::fork_generation();
  process_pool_options options_;
  const scheduling scheduling_ = scheduling::of_this_thread();  // the maker's, for workers
  encoder initializer_, finalizer_, preload_;  // those of the options, as they are sent
  std::unique_ptr<detail::room> room_;
  // Wakes the collector. Shared memory that outlives the pool may ring it.
  const std::shared_ptr<ipc::event> control_ = std::make_shared<ipc::event>();
  ipc::poller poller_;
  std::string namespaces_;  // those of the collector, which runs no code of the user, and its own

  sync::atomic<phase> phase_{phase::fresh};  // changes under the lock
  sync::atomic<std::uint32_t> period_{1};    // of sample()

  mutable sync::mutex mutex_;  // guards what follows
  std::shared_ptr<process::worker_starter> starter_;
  std::map<std::uint64_t, worker_ptr> workers_;  // by token; living and dying
  std::size_t ending_ = 0;                       // of them: what begin_end() was called for
  std::uint64_t next_token_ = 1;
  process::task_queue queue_;
  std::size_t outstanding_ = 0;          // calls accepted and not over
  process::pending_bytes bytes_;         // of their arguments
  std::vector<launch_result> launches_;  // that are over
  std::vector<std::pair<std::uint64_t, process::death_report>> deaths_;  // with tokens
  bool start_wanted_ = false;
  bool opened_before_role_ = false;  // by a static object, in a process that is to become a worker
  unsigned prestarts_ = 0;           // to come, whether there are calls or not
  bool killed_ = false;              // by end_workers(): nothing runs again
  bool finished_ = false;            // the collector has nothing more to do
  bool helping_ = false;             // a waiter reads answers
  bool helped_ = false;              // one did, since the collector last looked
  bool armed_ = false;               // workers ring for their answers
  bool armed_late_ = false;          // some only when they have little to do
  std::uint64_t answers_ = 0;        // read
  bool sleeps_long_ = false;         // the collector, until somebody rings
  clock::time_point helped_at_{};    // while the collector slept long
  std::size_t helpers_ = 0;
  std::vector<std::unique_ptr<process::done_bell>> bells_;  // that nobody sleeps by
  std::size_t bell_count_ = 0;
  unsigned failed_starts_ = 0;  // of start_budget, since the last worker that could run calls
  bool pausing_ = false;        // after a failed start, until:
  clock::time_point next_start_{};
  std::string broken_why_;
  bool breaking_ = false;          // the crew is about to break the pool
  std::uint64_t mean_run_ns_ = 0;  // of late; 0: not known
  executor_stats totals_;
  detail::histogram queue_times_, run_times_;
  std::thread collector_;
  process::crew crew_;                      // has its own lock
  sync::atomic<std::uint32_t> changes_{0};  // a futex word: outstanding_, helpers_ or workers_ fell
};

}  // namespace cadre
