// SPDX-License-Identifier: MIT
// How calls find workers, and workers sleep without losing a call.
//
// A submitter pushes onto the inbox with one compare-exchange. A worker takes the whole inbox at
// once into the backlog, and moves a batch of the oldest from there to its own deque, from where
// idle workers may take. Calls with a priority go through two sorted queues.
//
//   sleeping worker                            submitter
//   W1  announce: parked += 1 in the census    P1  publish the call
//   W2  look for work once more                P2  read the census; if nobody awake is idle, wake
//                                                  one that is parked, or start a thread
//
// W1, W2, P1 and P2 are seq_cst. In their single order either W1 comes before P2, and the submitter
// sees the sleeper, or P2 before W1, hence P1 before W2, and the worker sees the call. An idle
// worker that is awake will pass W1 and W2, so it need not be woken. Whoever pushes onto a
// non-empty inbox leaves the wake-up to whoever made it non-empty; whoever takes more than it can
// run at once from there goes through P1 and P2 itself.
//
// Closing replaces the inbox's head by a mark, after which no push succeeds: every call was either
// accepted before, and will be seen by a worker before that ends, or refused.
//
// Pausing, resuming and changing the number of workers go by the same steps: the change is made visible
// (P1), and then sleepers are woken (P2), who look at it (W2).
//
// Memory: to push with a priority may throw std::bad_alloc, and then nothing was pushed. Nothing else
// here needs any to go on: a worker moves fewer calls at once.
#pragma once

#include <cadre/detail/prefetch.hpp>
#include <cadre/detail/state.hpp>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "executor/census.hpp"
#include "executor/submit_note.hpp"
#include "sync/mutex.hpp"
#include "sync/parker.hpp"
#include "sync/work_deque.hpp"

namespace cadre::detail {

using call_deque = sync::work_deque<state_base>;

/// Calls sorted by priority, then by age.
class priority_queue {
 public:
  /// `size` follows the number of calls, for those who only look.
  explicit priority_queue(sync::atomic<std::size_t>& size) noexcept : size_{size} {}

  bool push(state_base& call, int priority);  ///< false if closed
  state_base* pop() noexcept {
    return pop_if([] { return true; });
  }
  /// Null if `allowed` says no: it is asked after every call that this gives back was pushed.
  template <typename Condition>
  state_base* pop_if(Condition allowed) noexcept {
    const std::lock_guard lock{mutex_};
    return heap_.empty() || !allowed() ? nullptr : pop_locked();
  }
  void close() noexcept;
  std::uint64_t pushed() const noexcept;  ///< ever

 private:
  struct entry {
    int priority;
    std::uint64_t number;
    state_base* call;
    bool operator<(const entry& other) const noexcept {
      return priority != other.priority ? priority < other.priority : number > other.number;
    }
  };

  state_base* pop_locked() noexcept;

  mutable sync::mutex mutex_;
  std::vector<entry> heap_;   // guarded by mutex_
  std::uint64_t pushed_ = 0;  // guarded by mutex_
  bool closed_ = false;       // guarded by mutex_
  sync::atomic<std::size_t>& size_;
};

/// A worker's bed.
struct sleeper {
  sync::parker parker;
  bool listed = false;  // guarded by dispatcher::parked_mutex_
};

class dispatcher {
 public:
  /// What is left to the caller of submit() and friends.
  enum class outcome { accepted, accepted_start_worker, closed };

  dispatcher(unsigned max_workers, unsigned max_replacements)
      : max_workers_{max_workers}, max_replacements_{max_replacements} {
    parked_.reserve(max_workers + max_replacements);  // so that to sleep needs no memory
  }

  // --- submitters ---

  /// Soon somebody will push: its line may come meanwhile, once, and for writing.
  void prefetch_inbox() const noexcept { prefetch_for_write(&inbox_); }

  outcome push(state_base& call, int priority);
  /// The `count` calls from `first` on, linked by queue_next in the order of submission.
  outcome push_all(state_base& first, std::size_t count);

  /// After work was made visible elsewhere (a worker's deque): true if a worker should be started.
  bool stimulate() noexcept {
    const census c = now();
    if (c.idle() > c.parked()) return false;
    return c.parked() == 0 ? c.live() < wanted(c) && !paused() : wake_one_or_start();
  }

  // --- workers ---

  /// A call with a priority above zero, or null.
  state_base* pop_urgent() noexcept { return has(urgent_size_) ? urgent_.pop() : nullptr; }
  /// A call with a priority below zero, or null. `deques_empty` looks at the workers' deques. Null also
  /// if there is other work by now: the caller's look at it may be older than the patient call, and a
  /// call that was submitted before that one comes first.
  template <typename DequesEmpty>
  state_base* pop_patient(DequesEmpty deques_empty) noexcept {
    if (!has(patient_size_)) return nullptr;
    return patient_.pop_if(
        [&] { return !has(urgent_size_) && !normal_calls_wait() && deques_empty(); });
  }

  struct batch {
    state_base* first = nullptr;  // the rest is in the worker's deque
    bool counted = true;          // false: accepted() does not know of it, the worker counts it
    std::size_t inbox_calls = 0;  // that were found in the inbox
  };
  /// The oldest calls of the backlog, or else of the inbox. With `all_to_own`, none of them is
  /// returned: the first goes to `own` as well, behind what is there. Otherwise none is given if an
  /// urgent call waits: it may have been submitted before those here, and after the caller's look.
  batch take_batch(call_deque& own, bool all_to_own) noexcept;

  /// True if inbox, backlog or a sorted queue hold something. Step W2. The inbox comes last: to
  /// look at it takes its line away from the submitters.
  bool has_work() const noexcept {
    return has(backlog_size_) || has(urgent_size_) || has(patient_size_) || inbox_has_calls();
  }

  /// Steps W1 and W2; `deques_empty` looks at the workers' deques. False: go and look for work.
  template <typename DequesEmpty>
  bool announce_sleep(sleeper& bed, DequesEmpty deques_empty) noexcept {
    enlist(bed);
    if ((paused() || (!has_work() && deques_empty())) && !closed()) return true;
    return !withdraw(bed);
  }
  /// Takes back the announcement; false if a wake-up is on its way.
  bool withdraw(sleeper& bed) noexcept;
  /// After a wake-up.
  void woken() noexcept;

  /// How many calls wait that were taken from the inbox, and are in no deque. A hint.
  std::size_t backlog_size() const noexcept {
    return backlog_size_.load(std::memory_order_relaxed);  // relaxed: nothing follows from it
  }

  /// For a thread that naps, so that it need not be woken: but it is, when a worker runs dry, or somebody else
  /// is to be woken then.
  void wake_when_dry(const sync::parker* sleeper) noexcept {
    // relaxed: only the address is used, and the sleeper may be gone.
    const sync::parker* before = napping_.exchange(sleeper, std::memory_order_relaxed);
    if (before != nullptr && before != sleeper) sync::parker::wake(before);
  }
  /// By a worker that runs dry.
  void wake_napping() noexcept {
    // relaxed, both: as above; a worker that does not see it leaves it to the nap's end.
    if (napping_.load(std::memory_order_relaxed) == nullptr) return;
    const sync::parker* sleeper = napping_.exchange(nullptr, std::memory_order_relaxed);
    if (sleeper != nullptr) sync::parker::wake(sleeper);
  }

  /// False if the caller is the last worker that there may be that is not blocked.
  bool replacements_left() const noexcept {
    return now().blocked() + 1 < max_workers() + max_replacements_;
  }

  /// Nobody is left to run what waits, and nobody may be started for it.
  bool all_blocked() const noexcept { return now().blocked() >= max_workers() + max_replacements_; }

  /// One more worker, if the limits allow.
  bool admit() noexcept;
  /// One worker less, if there are more than needed (`surplus`), or in any case.
  bool dismiss(bool surplus, std::uint64_t change) noexcept;

  /// True if a busy worker is to see whether it is one too many.
  bool has_surplus() const noexcept {
    // seq_cst: pairs with the stores in set_max_workers() and dismiss().
    return surplus_.load(std::memory_order_seq_cst);
  }

  // --- control ---

  unsigned max_workers() const noexcept {
    return max_workers_.load(std::memory_order_relaxed);  // relaxed: a bound, which nothing follows
  }
  /// Wakes those who are too many. Throws std::bad_alloc, and then nothing changed. One at a time.
  void set_max_workers(unsigned count);

  /// While it is so, no worker takes calls from anywhere.
  bool paused() const noexcept {
    // seq_cst: step W2; pairs with the stores in pause() and resume().
    return paused_.load(std::memory_order_seq_cst);
  }
  void pause() noexcept {
    paused_.store(true, std::memory_order_seq_cst);  // seq_cst: pairs with paused()
  }
  /// Whoever resumes looks whether there is work, and calls stimulate().
  void resume() noexcept {
    paused_.store(false, std::memory_order_seq_cst);  // seq_cst: step P1; pairs with paused()
  }

  /// True if there is no work outside of the deques, also not on its way from one queue to the other.
  bool nothing_waits() noexcept {
    return !has(urgent_size_) && !has(patient_size_) && !normal_calls_wait();
  }

  // --- the end ---

  /// Refuses calls from now on and wakes all workers. Idempotent.
  void close() noexcept;
  bool closed() const noexcept {
    // seq_cst: a worker looks for work once more after it saw this; pairs with close().
    return inbox_.load(std::memory_order_seq_cst) == closed_mark();
  }

  /// Takes everything that is not in a worker's deque, linked by queue_next.
  state_base* take_all() noexcept;

  /// Calls accepted so far, not counting those in the workers' deques. Exact.
  std::uint64_t accepted() noexcept;

  census now() const noexcept {
    // seq_cst: step P2; pairs with W1 in enlist().
    return {census_.load(std::memory_order_seq_cst)};
  }
  void change(std::uint64_t amount) noexcept {
    // seq_cst: so that an idle worker counted here looks for work after it; pairs with P2.
    census_.fetch_add(amount, std::memory_order_seq_cst);
  }
  sync::atomic<std::uint64_t>& census_word() noexcept { return census_; }

 private:
  /// No call has this address: it marks an inbox that is closed.
  state_base* closed_mark() const noexcept {
    return reinterpret_cast<state_base*>(const_cast<dispatcher*>(this));
  }
  /// How many workers there should be: one that is not blocked, whatever happens, within bounds.
  unsigned wanted(census c) const noexcept {
    const unsigned usual = max_workers();
    const unsigned most = usual + max_replacements_;
    return c.blocked() < usual ? usual : c.blocked() < most ? c.blocked() + 1 : most;
  }
  static bool has(const sync::atomic<std::size_t>& size) noexcept {
    // seq_cst: step W2; pairs with the stores of the sizes, as step P1.
    return size.load(std::memory_order_seq_cst) != 0;
  }
  bool inbox_has_calls() const noexcept {
    // seq_cst: step W2; pairs with the compare-exchange in push().
    const state_base* newest = inbox_.load(std::memory_order_seq_cst);
    return newest != nullptr && newest != closed_mark();
  }
  outcome after_push(bool was_empty) noexcept;
  bool normal_calls_wait() noexcept;
  state_base* take_inbox() noexcept;
  std::size_t append(state_base* newest) noexcept;
  bool add_to_backlog(state_base* newest) noexcept;
  void chain_up(state_base* newest) noexcept;
  state_base* unchain_oldest() noexcept;
  bool wake_one() noexcept;
  bool wake_one_or_start() noexcept;
  void enlist(sleeper& bed) noexcept;
  bool refill_backlog() noexcept;

  // One line for what submitters touch: the census is read for free with the inbox.
  alignas(64) sync::atomic<state_base*> inbox_{nullptr};
  sync::atomic<std::uint64_t> census_{0};
  sync::atomic<unsigned> max_workers_;
  const unsigned max_replacements_;

  alignas(64) sync::mutex backlog_mutex_;
  // Guarded by backlog_mutex_, the oldest last. Addresses: to hand out calls must not wait for the
  // cache lines of those before.
  std::vector<state_base*> backlog_;
  // Guarded by backlog_mutex_: calls behind those of the backlog, for which it had no memory, linked
  // by queue_next, the oldest first. While there are some, those that come go behind them.
  state_base* chained_ = nullptr;
  state_base* last_chained_ = nullptr;
  std::size_t chained_count_ = 0;
  std::uint64_t accepted_ = 0;  // guarded by backlog_mutex_

  // What workers look at, on one line.
  alignas(64) sync::atomic<std::size_t> backlog_size_{0};  // written under backlog_mutex_
  sync::atomic<std::size_t> urgent_size_{0};
  sync::atomic<std::size_t> patient_size_{0};
  sync::atomic<bool> paused_{false};
  sync::atomic<bool> surplus_{false};                   // there may be more workers than wanted
  sync::atomic<const sync::parker*> napping_{nullptr};  // who is to be woken when a worker runs dry

  alignas(64) sync::mutex parked_mutex_;
  std::vector<sleeper*> parked_;  // guarded by parked_mutex_; reserved; the last one slept least

  priority_queue urgent_{urgent_size_};
  priority_queue patient_{patient_size_};
};

}  // namespace cadre::detail
