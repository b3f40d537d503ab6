// SPDX-License-Identifier: MIT
// A chain of tasks: one that was spawned, the one that it awaits, the one which that awaits, and so
// on. At any time at most one of them runs.
//
//   drive()      resumes the coroutine in next_, again and again. A coroutine that awaits another
//                one puts that into next_ and suspends; one that ends puts its parent there. So
//                neither takes stack, and no coroutine resumes another (no symmetric transfer).
//   suspend      a coroutine that awaits something else says so (pending_), and suspends. Only then,
//                with no coroutine on the stack, does drive() add the listener. So no await_suspend
//                lets another thread resume the coroutine that is still in it.
//   join         a coroutine that awaits all() of several tasks: see fork_join.hpp.
//   go_on        whoever completes what is awaited queues the rest, at the executor of the task.
//   stop_        a stop request reaches what is awaited through this word:
//
//     0                    nothing is awaited
//     a state              it runs here, within the await
//     rest_ | listening    suspended, until that is notified
//     asked [| busy]       a stop was requested [and its thread uses what is awaited]: for ever
//
// A wait is opened and closed by the chain, by compare-exchange; who finds it open to stop it makes
// it busy, for which close_wait() waits: then what is awaited may go.
//
// The chain belongs to the thread in drive() until that has suspended it, then to whoever
// completes what it waits for; what hands it over (rest::parts_, the queue) orders.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/atomic.hpp>
#include <cadre/detail/call.hpp>
#include <cadre/detail/completion_set.hpp>
#include <cadre/detail/state.hpp>

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

namespace cadre {

class local_executor;
struct submit_options;

namespace detail {

class task_chain;
class fork_join;
class forked_chain;

/// What every coroutine of a chain has.
struct CADRE_API chain_link {
  chain_link() noexcept = default;
  chain_link(const chain_link&) = delete;
  chain_link& operator=(const chain_link&) = delete;
  ~chain_link() {
    if (moved) where->release();
  }

  std::coroutine_handle<> handle;
  task_chain* chain = nullptr;
  union {
    chain_link* parent = nullptr;  // goes on when this one is at its end; null: nobody
    fork_join* join;               // if it is forked: is told of its end
  };
  task_host* where = nullptr;  // where it runs
  bool moved = false;          // it went there by schedule(), and so holds it
  bool forked = false;         // it is one of all(), and runs in the chain of who awaits that
};

class CADRE_API task_chain {
 public:
  task_chain(const task_chain&) = delete;
  task_chain& operator=(const task_chain&) = delete;

  // --- the coroutine that runs, from an await_suspend or an await_resume ---

  /// `child` is to run next, for `parent`. Throws std::bad_alloc.
  void call(chain_link& child, chain_link& parent) {
    if (!child.moved) {
      child.where = where_;
    } else {
      make_rest();
    }
    child.chain = this;
    child.parent = &parent;
    run_next(child);
  }
  /// `link` is at its end, or yields.
  void leave(chain_link& link) noexcept {
    if (link.forked) {
      child_is_over(*link.join);
    } else if (link.parent != nullptr) {
      run_next(*link.parent);
    }
  }
  /// `link`, which awaits several tasks, is to go on when all of them are over: fork_join's.
  void run_next(chain_link& link) noexcept {
    next_ = link.handle;
    if (link.where != where_) move_back(link);
  }
  /// Throws std::bad_alloc.
  void open(fork_join& join);
  /// Queues a task that `link` awaits. Throws what the executor does.
  void fork(const chain_link& link, state_base& entry) const {
    link.where->resume_task(entry, priority_);
  }
  void wait_for(fork_join& join) noexcept;
  void close(fork_join& join) noexcept;
  /// `link` is to go on when `awaited` is done; when the set has one more, or at the deadline; at
  /// `target`. They throw std::bad_alloc; the second one what a timer does, if there is a deadline;
  /// and the last one what a submit() there would.
  void wait_for(chain_link& link, state_base& awaited);
  void wait_for(chain_link& link, completion_set& awaited, time_point deadline);
  void move_to(chain_link& link, task_host& target);
  /// After a wait: throws cancelled_error if a stop request ended it.
  void end_wait();
  /// As get() does, depth first: tasks that spawn tasks need little memory. If `awaited` is a call of
  /// this worker's that has not begun, runs it; else waits a moment if the worker is idle. True if it
  /// is done. Throws as end_wait().
  bool run_here(state_base& awaited);
  /// Throws std::bad_alloc.
  std::stop_token get_stop_token();

  // --- any thread ---

  /// The last of the tasks of `join` is over, and so is the wait for them.
  void end_join(fork_join& join) noexcept;
  /// A task of an open all() begins, or ends, in a chain of its own, which is to be stopped with this one.
  void enter(forked_chain& child) noexcept;
  void leave(forked_chain& child) noexcept;
  /// For state_base::request_stop(), while the call runs. False if it was asked before.
  bool request_chain_stop() noexcept;
  std::string_view chain_name() const noexcept {
    return extras_ ? extras_->name : std::string_view{};
  }

 protected:
  explicit task_chain(state_base& self) noexcept : self_{self} {}
  /// Its destructor comes after reset_extras().
  ~task_chain();

  /// Queues the call, with a reference that is the caller's until then; true if it did. What keeps
  /// it from that becomes the call's outcome. Throws std::bad_alloc.
  bool start(local_executor& where, submit_options& options, chain_link& first);
  /// On a worker: `first`, a task that one of `parent` awaits, is to run where that one runs. What holds
  /// the executor is `parent`, which outlives this chain.
  void start_for(const task_chain& parent, chain_link& first, task_host& where) noexcept;
  /// On a worker: runs the chain until it is at its end (complete()), or suspended.
  bool drive(run_context& context) noexcept;
  /// After the frames are gone: gives up the executor. Before the result is published; what it
  /// returns, after that.
  [[nodiscard]] ref<state_base> retire() noexcept;
  void reset_extras() noexcept { extras_.reset(); }

 private:
  class forks;
  class rest;
  static constexpr std::uintptr_t asked = 1, busy = 2, listening = 4;
  enum class wait : std::uint8_t { none, state, set, move, join };

  struct on_stop {
    state_base* self;
    void operator()() const noexcept;
  };
  struct extras {
    std::string name;
    std::stop_token stop;
    std::optional<std::stop_callback<on_stop>> callback;
  };

  /// The first coroutine is at its end: publishes its result.
  virtual bool complete(run_context& context) noexcept = 0;
  /// Of a forked task: the chain of who awaits it.
  virtual task_chain* awaited_by() noexcept { return nullptr; }

  void move_back(chain_link& link) noexcept;
  rest* get_rest() const noexcept {
    // relaxed: the chain's own; it is written by the chain.
    return rest_.load(std::memory_order_relaxed);
  }
  rest& make_rest();
  bool suspend() noexcept;
  void go_on() noexcept;
  static void child_is_over(fork_join& join) noexcept;
  void fail_when_joined() noexcept;
  bool open_wait(std::uintptr_t awaited) noexcept;
  void close_wait(std::uintptr_t awaited) noexcept;
  void throw_if_stopped();

  state_base& self_;
  task_host* host_ = nullptr;   // where it was spawned, and which it holds
  task_host* where_ = nullptr;  // where it runs now, or is to go on
  std::coroutine_handle<> next_;
  sync::atomic<rest*> rest_{nullptr};  // made by the first wait
  std::unique_ptr<extras> extras_;
  int priority_ = 0;
  wait pending_ = wait::none;
  bool stopped_ = false;  // the wait was ended by a stop request
  bool forked_ = false;   // another chain, which outlives this one, holds the executor
  sync::atomic<std::uintptr_t> stop_{0};
};

}  // namespace detail
}  // namespace cadre
