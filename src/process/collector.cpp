// SPDX-License-Identifier: MIT
// process_pool_executor::impl: the thread that does what nobody waits for: it starts workers, reads
// answers while no waiter does, and keeps time. How it starts them is in births.cpp, what it does with the
// dead in deaths.cpp.
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "base/threads.hpp"
#include "future/waiter.hpp"
#include "process/process_pool.hpp"

namespace cadre {

using process::remote_worker;
using process::stop_reason;
using process::task;

namespace {

// A call that runs so long gives back those that were sent behind it. A longer time lets these wait; a
// shorter one takes back more often what would have had its turn anyhow.
constexpr auto patience = std::chrono::milliseconds{100};

// A callback may run so long before other threads take those behind it. A longer time lets these wait; a
// shorter one makes threads for callbacks that would have been over.
constexpr std::chrono::milliseconds crew_patience{1};

constexpr const char* silent =
    "it did not say that it was ready, as a worker does at once; it was ended";
constexpr const char* initialises_for_ever =
    "its initializer took longer than the initializer_timeout of the pool; it was ended";
constexpr const char* preloads_for_ever =
    "the preload of the pool took longer than its initializer_timeout; it was ended";
constexpr const char* unresponsive =
    "it had nothing else to do and did not begin the call, as if it were stopped; it was ended";

}  // namespace

// --- the thread ---

/// Under the lock.
void process_pool_executor::impl::start_collector() {
  collector_ = start_thread([self = shared_from_this()] { self->collect(); });
}

void process_pool_executor::impl::collect() {
  ::pthread_setname_np(::pthread_self(), "cadre-collector");
  scheduling_.apply();
  std::array<ipc::poller::ready, 32> found{};
  lock held{mutex_};
  detail::late_wake readers;
  bool stream = false;  // of answers: one comes soon after the other
  bool looks = false;   // whether it still is, at the next turn
  while (!finished_) {
    const std::uint64_t before = answers_;
    for (std::size_t rounds = 0; collect_once(held); ++rounds) {
      // To start a worker takes a while, and the answers may never end.
      if (start_due() || rounds > workers_.size()) readers.wake();
    }
    if (std::exchange(looks, false)) stream = answers_ != before;
    if (finished_) break;
    auto deadline = next_deadline();
    if (crew_.has_waiting()) deadline = std::min(deadline, clock::now() + crew_patience);
    // Whoever waits for one call after the other reads the answers itself; workers that rang for each
    // would only cost time. It is enough to look now and then whether that has stopped.
    if (std::exchange(helped_, false) || helping_) {
      deadline = std::min(deadline, clock::now() + collector_look);
    } else if (arm_all(stream)) {
      looks = armed_late_;
      sleeps_long_ = !looks;
    } else {
      continue;
    }
    const auto begin = clock::now();
    if (looks) deadline = std::min(deadline, begin + collector_look);
    held.unlock();
    readers.wake();
    const std::size_t count = poller_.wait(found, deadline);
    held.lock();
    if (!looks) stream = count != 0 && clock::now() - begin < collector_look;
    sleeps_long_ = false;
    if (!helping_) disarm_all();
    for (std::size_t i = 0; i < count; ++i) {
      if ((found[i].token & hello_bit) == 0) continue;
      const auto w = workers_.find(found[i].token & ~hello_bit);
      if (w != workers_.end()) greet(*w->second);
    }
  }
  crew_.end();
  poller_.remove(control_->fd());
  auto starter = std::move(starter_);
  held.unlock();
}

/// One round of everything. True if it is to be repeated before the thread sleeps.
bool process_pool_executor::impl::collect_once(lock& held) {
  bool again = false;
  if (!launches_.empty()) take_launches(held);
  if (!deaths_.empty()) bury_dead(held);
  if (crew_.falls_behind(crew_patience)) {
    crew_.grow(shared_from_this());
    if (closed() && crew_.has_waiting()) tell_shutdown();  // it may have to run_here()
  }
  if (pausing_ && clock::now() >= next_start_) pausing_ = false;
  if (start_due()) {
    if (starter_) {
      start_worker(held);
    } else {
      acquire_starter(held);
    }
    again = true;
  }
  if (!helping_) {
    for (auto& [token, w] : workers_) {
      if (w->poisoned()) condemn(*w);
      if (w->is_sending() && !w->reading) w->send_more();
      if (drain(*w, held)) return true;
    }
  }
  const auto now = clock::now();
  for (auto& [token, w] : workers_) {
    w->forget_memories();
    if (w->crowded && now >= w->crowded_until) {
      w->crowded = false;
      pump();
    }
  }
  if (keep_time(now)) again = true;
  if (relieve_slow(now)) again = true;
  if (closed() && outstanding_ == 0) {
    for (auto& [token, w] : workers_) {
      if (w->now == remote_worker::condition::ready) end_worker(*w);
      // It may wait for a preload, for which nobody waits any more.
      if (w->launching && options_.preload && w->end_limit == detail::never && w->launch != 0) {
        w->end_limit = detail::deadline_after(options_.end_grace);
      }
    }
    finished_ = workers_.empty() && crew_.idle();
  }
  return again;
}

/// With `late`, those that have much in hand need not ring for each answer: then the collector is to look by
/// itself.
bool process_pool_executor::impl::arm_all(bool late) noexcept {
  armed_ = true;
  armed_late_ = false;
  bool all = true;
  for (auto& [token, w] : workers_) {
    if (w->reading || w->armed) continue;
    const bool this_late = late && w->in_flight() > least_in_hand;
    armed_late_ = armed_late_ || this_late;
    all = w->arm(this_late) && all;
  }
  return all;
}

void process_pool_executor::impl::disarm_all() noexcept {
  armed_ = false;
  for (auto& [token, w] : workers_) {
    if (!w->reading) w->disarm();
  }
}

// --- time ---

/// Moves calls that are to end on to their next step. True if others were queued again for it.
bool process_pool_executor::impl::keep_time(clock::time_point now) {
  const std::size_t queued = queue_.size();
  for (auto& [token, w] : workers_) {
    if (w->end_limit <= now) force_end(*w);
    task* t = w->head();
    if (t != nullptr && t->begin_limit <= now) {
      t->begin_limit = detail::never;
      if (!w->reading && w->forbid(*t)) condemn(*w, unresponsive);
    }
    if (t != nullptr && t->deadline <= now) stop_head(*w, *t);
    limit_debts(*w);
    const bool idle = w->now == remote_worker::condition::ready && w->in_flight() == 0;
    if (idle && options_.idle_timeout != std::chrono::nanoseconds::max() &&
        now - w->idle_since >= options_.idle_timeout) {
      end_worker(*w);
    }
  }
  if (queue_.size() == queued) return false;
  pump();
  return true;
}

/// The next step to end the call that `w` is at.
void process_pool_executor::impl::stop_head(remote_worker& w, task& t) {
  constexpr std::array signals{0, SIGTERM, SIGKILL};
  // A shorter time than this ends honest workers whose answer is not read yet.
  constexpr std::chrono::nanoseconds least_wait = std::chrono::milliseconds{10};
  if (t.stop_steps >= signals.size() || w.end_steps == signals.size() - 1) {
    t.deadline = detail::never;
    return;
  }
  if (t.stop_steps != 0 && !set_apart(w, t)) {
    // It says that it has gone on. If the answer does not come, it has lied.
    if (std::exchange(t.past, true)) return condemn(w);
    t.deadline = detail::deadline_after(std::max<std::chrono::nanoseconds>(t.grace, least_wait));
    return;
  }
  if (t.stopping == stop_reason::none) t.stopping = stop_reason::timeout;
  if (t.stop_steps == 0) {
    w.request_stop(t);
  } else {
    starter_->kill(w.process, signals[t.stop_steps]);
  }
  ++t.stop_steps;
  t.deadline = t.stop_steps < signals.size() ? detail::deadline_after(t.grace) : detail::never;
}

/// A worker that did not say hello in time, or does not end though it has nothing else to do.
void process_pool_executor::impl::force_end(remote_worker& w) {
  if (w.launching) {
    w.end_limit = detail::never;
    abandon_launch(w, preloads_for_ever);
    w.launch = 0;
    return;
  }
  if (w.now == remote_worker::condition::starting) return condemn(w, silent);
  const bool is_limited = options_.initializer_timeout != std::chrono::nanoseconds::max();
  if (w.initialising && is_limited) return condemn(w, initialises_for_ever);
  if (w.now == remote_worker::condition::ready) return condemn(w, unresponsive);
  constexpr std::array signals{SIGTERM, SIGKILL};
  if (w.end_steps >= signals.size()) {
    w.end_limit = detail::never;  // it was killed for another reason meanwhile
    return;
  }
  starter_->kill(w.process, signals[w.end_steps]);
  ++w.end_steps;
  w.end_limit =
      w.end_steps < signals.size() ? detail::deadline_after(options_.end_grace) : detail::never;
}

/// A worker that has only to say that it skipped calls which were taken back does so soon, or never. It
/// holds a place meanwhile.
void process_pool_executor::impl::limit_debts(remote_worker& w) noexcept {
  if (w.now != remote_worker::condition::ready || w.initialising) return;
  const bool owes = w.in_flight() != 0 && w.head() == nullptr;
  if (!owes) {
    w.end_limit = detail::never;
  } else if (w.end_limit == detail::never) {
    w.end_limit = detail::deadline_after(options_.end_grace);
  }
}

/// Whoever shut down waits no longer for workers that have no call: half of `grace` for each step.
void process_pool_executor::impl::end_leftovers(std::chrono::nanoseconds grace) noexcept {
  for (auto& [token, w] : workers_) {
    if (w->launching) abandon_launch(*w, "the pool ends");
    if (w->head() != nullptr || w->end_steps == 2 || w->process == 0) continue;
    begin_end(*w);
    starter_->kill(w->process, w->end_steps == 0 ? SIGTERM : SIGKILL);
    w->end_limit = ++w->end_steps == 1 ? detail::deadline_after(grace / 2) : detail::never;
  }
}

/// Before a signal that is meant for the call `t`: no other one is to be hit. False if the worker says
/// that it has gone on to another one.
bool process_pool_executor::impl::set_apart(remote_worker& w, task& t) {
  w.signalled = true;
  take_back(w, t.number);
  if (!w.is_past(t)) return true;
  w.signalled = t.stop_steps > 1;
  return false;
}

/// Gives the calls behind one that runs for long to other workers: to spread(), they are not idle
/// while there is a queue. True if there were any.
bool process_pool_executor::impl::relieve_slow(clock::time_point now) {
  bool any = false;
  for (auto& [token, w] : workers_) {
    if (std::exchange(w->seen_turn, w->turn()) != w->turn()) w->seen_since = now;
    if (w->slow || w->initialising || !w->has_spare() || now - w->seen_since < patience) continue;
    if (w->reading) continue;  // then somebody looks again soon
    w->slow = true;
    if (w->claims_are_damaged()) {
      condemn(*w);
    } else {
      any = take_back(*w, w->turn()) || any;
    }
  }
  if (any) pump();
  return any;
}

process_pool_executor::impl::clock::time_point process_pool_executor::impl::next_deadline()
    const noexcept {
  auto first = pausing_ ? next_start_ : detail::never;
  for (const auto& [token, w] : workers_) {
    if (w->crowded) first = std::min(first, w->crowded_until);
    first = std::min(first, w->end_limit);
    if (const task* t = w->head()) {
      first = std::min({first, t->deadline, t->begin_limit});
      if (!w->slow && !w->reading && !w->initialising && w->has_spare()) {
        first = std::min(first, w->seen_since + patience);
      }
    }
    if (w->now == remote_worker::condition::ready &&
        options_.idle_timeout != std::chrono::nanoseconds::max()) {
      // The answer of one that is busy may be read by a waiter, who does not wake this thread.
      const auto due = w->in_flight() == 0
                           ? w->idle_since + options_.idle_timeout
                           : detail::deadline_after(std::max<std::chrono::nanoseconds>(
                                 options_.idle_timeout, patience));
      first = std::min(first, due);
    }
  }
  return first;
}

}  // namespace cadre
