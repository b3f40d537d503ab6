// SPDX-License-Identifier: MIT
// How threads wait for states, and what a worker does when a call of its own waits.
#pragma once

#include <cadre/detail/state.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <utility>
#include <vector>

#include "sync/parker.hpp"
#include "sync/spin.hpp"

namespace cadre::detail {

/// A worker, as the wait functions see it. While a call runs on this thread it is installed as
/// this_thread_worker().
class waiting_worker {
 public:
  /// An untimed wait for `awaited` begins: if it is a pending call of the worker's own pool, runs
  /// it here and now.
  virtual void claim(state_base& awaited) = 0;

  /// A task awaits it, and would leave the worker: waits a moment if there is nothing else to do.
  virtual void await_briefly(state_base&) noexcept {}

  /// The worker is about to block until all `count` states are done (`untimed_all`), or until
  /// something else happens. May start a replacement. Throws deadlock_error if it would never end.
  virtual void begin_block(state_base* const* awaited, std::size_t count, bool untimed_all) = 0;
  virtual void end_block() noexcept = 0;

  /// What `sleeper` waited for is done here. True if this worker has much more to do, and will see to it that the
  /// sleeper is woken as soon as it, or another worker of its pool, has nothing; it naps, and may be gone by then.
  virtual bool wake_when_dry(const sync::parker*) noexcept { return false; }

  /// Callbacks of a call that just ended here are about to run; they may take their time.
  virtual void begin_callbacks() noexcept = 0;

  /// True if this is a worker of the pool of that identity.
  virtual bool works_for(const void* identity) const noexcept = 0;
  /// The worker within whose call this one works; or null.
  virtual const waiting_worker* outer() const noexcept { return nullptr; }
  /// Queues `call`, and takes over one reference to it, also while the pool shuts down.
  virtual void repost(state_base& call) = 0;

 protected:
  ~waiting_worker() = default;
};

/// Null on threads that are no workers.
waiting_worker* this_thread_worker() noexcept;
/// Installs `worker` and returns the one before.
waiting_worker* set_this_thread_worker(waiting_worker* worker) noexcept;

/// Somebody on whose thread no callback is to run, since others depend on it.
class callback_taker {
 public:
  /// Takes over the callbacks of `done`, linked in their order, to have them run elsewhere by its
  /// run_callbacks(). False: they run here.
  virtual bool take(state_base& done, listener* callbacks) noexcept = 0;

 protected:
  ~callback_taker() = default;
};

/// Null as a rule.
callback_taker* this_thread_taker() noexcept;
/// Installs `taker` and returns the one before.
callback_taker* set_this_thread_taker(callback_taker* taker) noexcept;

/// That of the innermost token_scope here; null without one.
const std::stop_token* this_thread_token() noexcept;

/// Visits `first`, and what each visited state awaits in turn while visit(state) returns true of it,
/// without recursion: chains may be long. What several await is visited several times.
template <typename Visit>
void for_all_awaited(state_base& first, Visit visit) {
  if (!visit(first)) return;
  std::vector<ref<state_base>> found;
  const auto find = [&found](state_base& from) {
    from.for_each_awaited(
        [](state_base& next, void* to) {
          static_cast<std::vector<ref<state_base>>*>(to)->emplace_back(&next);
        },
        &found);
  };
  find(first);
  while (!found.empty()) {
    const ref next = std::move(found.back());
    found.pop_back();
    if (visit(*next)) find(*next);
  }
}

/// While it lives, a listener hands `call` to an executor, as the last thing that it does: see
/// state_base::finish_handed_on().
class handing_on {
 public:
  explicit handing_on(const state_base& call) noexcept;
  ~handing_on();
  handing_on(const handing_on&) = delete;
  handing_on& operator=(const handing_on&) = delete;

 private:
  const state_base* before_;
};

/// Claims what can be claimed of `awaited` and of all that it waits for in turn.
void claim_all(waiting_worker& worker, state_base& awaited);

/// begin_block() and end_block() around a scope; nothing on a thread that is no worker.
class blocking_scope {
 public:
  blocking_scope(state_base* const* awaited, std::size_t count, bool untimed_all)
      : worker_{this_thread_worker()} {
    if (worker_ != nullptr) worker_->begin_block(awaited, count, untimed_all);
  }
  ~blocking_scope() {
    if (worker_ != nullptr) worker_->end_block();
  }
  blocking_scope(const blocking_scope&) = delete;
  blocking_scope& operator=(const blocking_scope&) = delete;

 private:
  waiting_worker* worker_;
};

/// Submitting threads leave word here whether their last call met an awake, idle worker. Only then
/// does it pay to spin for the result: a sleeping worker needs the processor that spins.
bool& spinning_pays() noexcept;

inline constexpr std::chrono::microseconds wait_spin{20};

/// A thread that takes the results of many short calls naps so long at most before it looks again, while
/// workers that finish one go on with the next: to wake it for each would cost them as much as the calls. More
/// lets results lie; less takes the processor from a worker more often.
inline constexpr std::chrono::microseconds most_nap{1000};

/// Ends the sleep of a thread that waits for what is done now; if it naps, perhaps later.
void end_sleep(sync::parker& sleeper) noexcept;

/// While it lives, those whose sleep ends on this thread, and who may be woken late, are woken by wake(), or when
/// there are too many: else the first would run beside a thread that is about to end the sleep for more. One at a
/// time on a thread.
class late_wake {
 public:
  late_wake() noexcept;
  ~late_wake();
  late_wake(const late_wake&) = delete;
  late_wake& operator=(const late_wake&) = delete;

  /// Wakes those who were kept.
  void wake() noexcept;

  /// Ends a sleep of who may be woken late. Where there is no late_wake it is woken at once.
  static void wake(sync::parker& sleeper) noexcept;

 private:
  friend void end_sleep(sync::parker&) noexcept;

  void keep(const sync::parker* sleeper) noexcept;

  std::array<const sync::parker*, 4> kept_{};  // they may be gone
  std::size_t count_ = 0;
};

/// Counts the forks between the first process and this one. States and pools of another
/// generation belong to another process.
unsigned fork_generation() noexcept;

}  // namespace cadre::detail
