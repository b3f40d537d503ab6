// SPDX-License-Identifier: MIT
#include "executor/dispatcher.hpp"

#include <cadre/detail/prefetch.hpp>

#include <algorithm>
#include <mutex>
#include <new>
#include <utility>

#include "future/waiter.hpp"

namespace cadre::detail {

bool priority_queue::push(state_base& call, int priority) {
  const std::lock_guard lock{mutex_};
  if (closed_) return false;
  heap_.push_back({priority, pushed_, &call});
  ++pushed_;  // not before there was memory
  std::push_heap(heap_.begin(), heap_.end());
  // seq_cst: step P1; pairs with W2.
  size_.store(heap_.size(), std::memory_order_seq_cst);
  return true;
}

state_base* priority_queue::pop_locked() noexcept {
  std::pop_heap(heap_.begin(), heap_.end());
  state_base* call = heap_.back().call;
  heap_.pop_back();
  size_.store(heap_.size(), std::memory_order_seq_cst);  // seq_cst: as in push(), pairs with W2
  return call;
}

void priority_queue::close() noexcept {
  const std::lock_guard lock{mutex_};
  closed_ = true;
}

std::uint64_t priority_queue::pushed() const noexcept {
  const std::lock_guard lock{mutex_};
  return pushed_;
}

dispatcher::outcome dispatcher::push(state_base& call, int priority) {
  if (priority != 0) {
    if (!(priority > 0 ? urgent_ : patient_).push(call, priority)) return outcome::closed;
    return after_push(true);
  }
  // relaxed: the compare-exchange orders.
  state_base* newest = inbox_.load(std::memory_order_relaxed);
  do {
    if (newest == closed_mark()) return outcome::closed;
    call.queue_next = newest;
    // seq_cst: step P1, and releases the call; pairs with W2 and the acquire in refill_backlog().
    // relaxed on failure: the loop looks again.
  } while (!inbox_.compare_exchange_weak(newest, &call, std::memory_order_seq_cst,
                                         std::memory_order_relaxed));
  return after_push(newest == nullptr);
}

dispatcher::outcome dispatcher::push_all(state_base& first, std::size_t count) {
  // The inbox is linked from the newest to the oldest: turn the chain round.
  state_base* newest = nullptr;
  state_base* rest = &first;
  for (std::size_t i = 0; i < count; ++i) {
    state_base* call = std::exchange(rest, rest->queue_next);
    call->queue_next = std::exchange(newest, call);
  }
  // relaxed: the compare-exchange orders.
  state_base* before = inbox_.load(std::memory_order_relaxed);
  do {
    if (before == closed_mark()) {
      // Back to the order in which it came: it is still the caller's.
      for (state_base *call = newest, *next = nullptr; call != nullptr;) {
        state_base* older = call == &first ? nullptr : call->queue_next;
        call->queue_next = std::exchange(next, call);
        call = older;
      }
      return outcome::closed;
    }
    first.queue_next = before;
    // seq_cst: as in push(); pairs with W2. relaxed on failure: the loop looks again.
  } while (!inbox_.compare_exchange_weak(before, newest, std::memory_order_seq_cst,
                                         std::memory_order_relaxed));
  return after_push(before == nullptr);
}

dispatcher::outcome dispatcher::after_push(bool was_empty) noexcept {
  const census c = now();
  spinning_pays() = c.idle() > c.parked() + c.waking();
  const bool somebody_awake = c.idle() > c.parked();
  // A call that was alone may have been taken already, by a worker that is busy with it now: then
  // there is nothing to start another one for.
  const bool start = c.idle() == 0 ? c.live() < wanted(c) && (!was_empty || has_work())
                                   : was_empty && !somebody_awake && stimulate();
  return start && !paused() ? outcome::accepted_start_worker : outcome::accepted;
}

/// The rest of stimulate(): somebody was asleep.
bool dispatcher::wake_one_or_start() noexcept {
  // Whoever resumes looks for the work. If nobody sleeps any more, the census has changed.
  return !paused() && !wake_one() && stimulate();
}

bool dispatcher::wake_one() noexcept {
  sleeper* bed = nullptr;
  {
    const std::lock_guard lock{parked_mutex_};
    if (parked_.empty()) return false;
    bed = parked_.back();
    parked_.pop_back();
    bed->listed = false;
    change(census::one_waking - census::one_parked);
  }
  bed->parker.unpark();
  return true;
}

void dispatcher::enlist(sleeper& bed) noexcept {
  const std::lock_guard lock{parked_mutex_};
  parked_.push_back(&bed);
  bed.listed = true;
  change(census::one_parked);  // W1
}

bool dispatcher::withdraw(sleeper& bed) noexcept {
  const std::lock_guard lock{parked_mutex_};
  if (!bed.listed) return false;
  parked_.erase(std::find(parked_.begin(), parked_.end(), &bed));
  bed.listed = false;
  change(-census::one_parked);
  return true;
}

void dispatcher::woken() noexcept { change(-census::one_waking); }

bool dispatcher::admit() noexcept {
  census c = now();
  while (c.live() < wanted(c)) {
    // seq_cst: as change(); pairs with P2. relaxed on failure: the loop looks again.
    if (census_.compare_exchange_weak(c.word, c.word + census::one_live, std::memory_order_seq_cst,
                                      std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

bool dispatcher::dismiss(bool surplus, std::uint64_t amount) noexcept {
  // Before the look at the numbers: whoever changes them meanwhile sets it again.
  // seq_cst: pairs with the store in set_max_workers().
  const bool busy_ones =
      surplus && has_surplus() && surplus_.exchange(false, std::memory_order_seq_cst);
  census c = now();
  while (!surplus || c.live() > wanted(c)) {
    const census then{c.word - census::one_live - amount};
    // seq_cst: as change(); pairs with P2. relaxed on failure: the loop looks again.
    if (census_.compare_exchange_weak(c.word, then.word, std::memory_order_seq_cst,
                                      std::memory_order_relaxed)) {
      // seq_cst: pairs with has_surplus(), by the next one.
      if (busy_ones && then.live() > wanted(then)) surplus_.store(true, std::memory_order_seq_cst);
      return true;
    }
  }
  return false;
}

void dispatcher::set_max_workers(unsigned count) {
  {
    const std::lock_guard lock{parked_mutex_};
    parked_.reserve(count + max_replacements_);
  }
  // seq_cst: before the next store, which pairs with has_surplus() and dismiss().
  if (max_workers_.exchange(count, std::memory_order_seq_cst) <= count) return;
  surplus_.store(true, std::memory_order_seq_cst);
  for (census c = now(); c.live() > wanted(c) + c.waking() && wake_one(); c = now()) {
  }
}

/// With the lock: close() and accepted() hold it while calls are on their way from the inbox to the
/// backlog, where nobody sees them.
bool dispatcher::normal_calls_wait() noexcept {
  const std::lock_guard lock{backlog_mutex_};
  return has(backlog_size_) || inbox_has_calls();
}

/// Everything in the inbox, newest first, or null.
state_base* dispatcher::take_inbox() noexcept {
  // relaxed: the compare-exchange orders.
  state_base* newest = inbox_.load(std::memory_order_relaxed);
  do {
    if (newest == nullptr || newest == closed_mark()) return nullptr;
    // Its line comes from the submitter's processor: let it come while the inbox does.
    prefetch_for_write(newest);
    // acquire: pairs with the release half in push(). relaxed on failure: the loop looks again.
  } while (!inbox_.compare_exchange_weak(newest, nullptr, std::memory_order_acquire,
                                         std::memory_order_relaxed));
  return newest;
}

bool dispatcher::refill_backlog() noexcept {
  state_base* newest = take_inbox();
  if (newest == nullptr) return false;
  append(newest);
  return true;
}

std::size_t dispatcher::append(state_base* newest) noexcept {
  const std::size_t before = backlog_.size() + chained_count_;
  if (chained_ != nullptr || !add_to_backlog(newest)) chain_up(newest);
  const std::size_t after = backlog_.size() + chained_count_;
  accepted_ += after - before;
  // seq_cst: step P1 again, for calls that have left the inbox; pairs with W2.
  backlog_size_.store(after, std::memory_order_seq_cst);
  return after - before;
}

/// False, and nothing happened, if there is no memory.
bool dispatcher::add_to_backlog(state_base* newest) noexcept {
  const std::size_t before = backlog_.size();
  try {
    for (state_base* call = newest; call != nullptr; call = call->queue_next) {
      prefetch_older(*call);
      backlog_.push_back(call);
    }
  } catch (const std::bad_alloc&) {
    backlog_.resize(before);
    return false;
  }
  // Those that were there are older.
  std::rotate(backlog_.begin(), backlog_.begin() + static_cast<std::ptrdiff_t>(before),
              backlog_.end());
  return true;
}

void dispatcher::chain_up(state_base* newest) noexcept {
  state_base* oldest = nullptr;
  for (state_base* call = newest; call != nullptr; ++chained_count_) {
    state_base* const older = std::exchange(call->queue_next, oldest);
    oldest = std::exchange(call, older);
  }
  (chained_ == nullptr ? chained_ : last_chained_->queue_next) = oldest;
  last_chained_ = newest;
}

state_base* dispatcher::unchain_oldest() noexcept {
  if (chained_ == nullptr) return nullptr;
  --chained_count_;
  // seq_cst: as in append(); pairs with W2.
  backlog_size_.store(chained_count_, std::memory_order_seq_cst);
  return std::exchange(chained_, chained_->queue_next);
}

dispatcher::batch dispatcher::take_batch(call_deque& own, bool all_to_own) noexcept {
  // Larger batches visit the lock less often; smaller ones leave more to the other workers.
  constexpr std::size_t largest = 64;
  batch result;
  if (all_to_own && own.make_room(1) == 0) return result;
  state_base* newest = nullptr;
  if (!has(backlog_size_)) {
    newest = take_inbox();
    if (newest == nullptr) return result;
    result.inbox_calls = 1;
    if (newest->queue_next == nullptr &&
        (all_to_own || !has(urgent_size_))) {  // a single one need not pass through the backlog
      all_to_own ? own.push(newest) : static_cast<void>(result.first = newest);
      result.counted = false;
      return result;
    }
  }
  const std::lock_guard lock{backlog_mutex_};
  if (newest != nullptr) result.inbox_calls = append(newest);
  if (!all_to_own && has(urgent_size_)) return result;
  const std::size_t size = backlog_.size();
  if (size == 0) {
    state_base* const oldest = unchain_oldest();
    if (oldest != nullptr && all_to_own) own.push(oldest);
    if (!all_to_own) result.first = oldest;
    return result;
  }
  const std::size_t skip = all_to_own ? 0 : 1;
  const std::size_t wanted = std::clamp<std::size_t>(size / 4, 1, largest);
  const std::size_t count = skip + own.make_room(wanted - skip);
  if (!all_to_own) result.first = backlog_.back();
  for (std::size_t i = skip; i < count; ++i) {
    state_base* call = backlog_[size - 1 - i];
    if (i < 8) prefetch_for_write(call);
    i + 1 < count ? own.push_quietly(call) : own.push(call);
  }
  backlog_.resize(size - count);
  // seq_cst: as in append(); pairs with W2.
  backlog_size_.store(size - count + chained_count_, std::memory_order_seq_cst);
  return result;
}

void dispatcher::close() noexcept {
  resume();
  urgent_.close();
  patient_.close();
  {
    const std::lock_guard lock{backlog_mutex_};
    for (;;) {
      refill_backlog();
      state_base* empty = nullptr;
      // seq_cst: pairs with closed() and the compare-exchange in push(). relaxed on failure: there
      // was one more push, or it was closed before.
      if (inbox_.compare_exchange_strong(empty, closed_mark(), std::memory_order_seq_cst,
                                         std::memory_order_relaxed) ||
          empty == closed_mark()) {
        break;
      }
    }
  }
  while (wake_one()) {
  }
}

state_base* dispatcher::take_all() noexcept {
  state_base* all = nullptr;
  {
    const std::lock_guard lock{backlog_mutex_};
    refill_backlog();
    all = std::exchange(chained_, nullptr);  // the newest
    chained_count_ = 0;
    for (state_base* call : backlog_) call->queue_next = std::exchange(all, call);
    backlog_.clear();
    backlog_size_.store(0,
                        std::memory_order_seq_cst);  // seq_cst: as in take_batch(), pairs with W2
  }
  for (priority_queue* queue : {&urgent_, &patient_}) {
    while (state_base* call = queue->pop()) {
      call->queue_next = std::exchange(all, call);
    }
  }
  return all;
}

std::uint64_t dispatcher::accepted() noexcept {
  const std::uint64_t sorted = urgent_.pushed() + patient_.pushed();
  const std::lock_guard lock{backlog_mutex_};
  refill_backlog();
  return accepted_ + sorted;
}

}  // namespace cadre::detail
