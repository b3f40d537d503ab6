// SPDX-License-Identifier: MIT
// process_pool_executor::impl: a thread that waits for a call of the pool reads its worker's answers
// itself.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "future/waiter.hpp"
#include "process/done_bell.hpp"
#include "process/process_pool.hpp"
#include "sync/spin.hpp"

namespace cadre {

using process::remote_worker;

namespace {

// So long a waiter looks for an answer before it sleeps. More is a processor's time for those who would
// be woken as well; less lets the fastest calls of a cold worker cost two wake-ups more.
constexpr std::chrono::microseconds help_spin{20};

/// Of waits for calls in processes.
sync::spin_credit& spinning_here() noexcept {
  static thread_local constinit sync::spin_credit of_this_thread;
  return of_this_thread;
}

/// Whether this thread had less precedence than its pool when it first waited, or last slept. Others would
/// wait for it, if it read their answers, and it for its turn.
constinit thread_local enum class precedence : std::uint8_t {
  unknown,
  same,
  less
} precedence_here = precedence::unknown;

bool gives_way_to(const scheduling& makers) noexcept {
  precedence_here = makers.precedes_this_thread() ? precedence::less : precedence::same;
  return precedence_here == precedence::less;
}

}  // namespace

/// Under the lock. All workers have more than they run now, for about so long.
bool process_pool_executor::impl::is_busy_for(std::chrono::nanoseconds time) const noexcept {
  const std::size_t workers = workers_.size();
  const std::size_t waiting = outstanding_ - std::min(outstanding_, workers);
  return waiting * mean_run_ns_ >= workers * static_cast<std::uint64_t>(time.count());
}

detail::wait_helper* process_pool_executor::impl::begin_help(detail::state_base&,
                                                             bool naps) noexcept {
  if (precedence_here != precedence::same && gives_way_to(scheduling_)) return nullptr;
  const std::lock_guard held{mutex_};
  if (helping_) return nullptr;
  if (naps && is_busy_for(detail::most_nap)) return nullptr;  // the collector reads for it
  helping_ = true;
  helped_ = true;
  ++helpers_;
  if (armed_) disarm_all();
  return this;
}

void process_pool_executor::impl::help(detail::state_base& awaited,
                                       detail::time_point deadline) noexcept {
  lock held{mutex_, std::defer_lock};
  std::optional<untold> own;
  // Keeps the lock when it is the last look.
  const auto look = [&] {
    held.lock();
    bool progress = false;
    for (auto& [token, w] : workers_) {
      if (w->is_sending() && !w->reading && w->send_more()) progress = true;
      if (drain(*w, held, &awaited, &own)) {
        progress = true;
        break;  // workers_ may have changed meanwhile
      }
    }
    if (own || awaited.done()) return true;
    held.unlock();
    return progress;
  };
  sync::spin_credit& spinning = spinning_here();
  while (!held.owns_lock() && (deadline == detail::never || clock::now() < deadline)) {
    if (spinning.pays() ? !sync::watch_until(look, help_spin) : !look()) break;
  }
  if (!held.owns_lock()) held.lock();
  const bool answered = own || awaited.done();
  give_up_helping(answered);
  if (answered) {
    spinning.spun();
  } else {
    const auto begin = clock::now();
    if (sleep_at_worker(awaited, deadline, held, own)) {
      spinning.slept(clock::now() - begin, help_spin);
    }
  }
  if (own) {
    // To decode it is the user's code, which may wait for a call of this pool.
    held.unlock();
    tell(*own);
    held.lock();
  }
  --helpers_;
  // release: pairs with the acquire in wait_until_idle().
  changes_.fetch_add(1, std::memory_order_release);
  if (closed()) sync::futex_wake(&changes_, INT32_MAX);
}

/// Under the lock. `answered`: what it waited for is here.
void process_pool_executor::impl::give_up_helping(bool answered) noexcept {
  helping_ = false;
  // While the collector sleeps until somebody rings, one call may be all for long.
  bool again_soon = answered;
  if (sleeps_long_) {
    const auto now = clock::now();
    again_soon = answered && now - std::exchange(helped_at_, now) < collector_look;
    // From here on it looks now and then.
    if (again_soon) {
      sleeps_long_ = false;
      wake_collector();
    }
  }
  // Then it will help with the next call soon. Else it takes longer, and from now on workers have to ring;
  // also those that are only starting, for whose bell the collector sees to.
  helped_ = again_soon;
  if (!again_soon && !arm_all(false)) wake_collector();
}

/// Under the lock. Null if no worker has that call in hand.
remote_worker* process_pool_executor::impl::worker_with(const detail::state_base& call) noexcept {
  for (auto& [token, w] : workers_) {
    bool found = false;
    w->for_each([&](process::task& t) { found = found || &t.call() == &call; });
    if (found) return w.get();
  }
  return nullptr;
}

/// Sleeps until the worker that has the call rings, and reads what it answers, so that no other thread has
/// to. False if that is not possible, or the call is done by somebody else.
bool process_pool_executor::impl::sleep_at_worker(detail::state_base& awaited,
                                                  detail::time_point deadline, lock& held,
                                                  std::optional<untold>& own) {
  // A worker of a pool has to say that it blocks.
  if (detail::this_thread_worker() != nullptr) return false;
  if (gives_way_to(scheduling_)) return false;
  std::unique_ptr<process::done_bell> bell;
  if (bells_.empty()) {
    try {
      bell = std::make_unique<process::done_bell>();
      bells_.reserve(++bell_count_);
    } catch (const std::exception&) {
      return false;  // no memory or descriptor
    }
  } else {
    bell = std::move(bells_.back());
    bells_.pop_back();
  }
  while (!own && !awaited.done() && (deadline == detail::never || clock::now() < deadline)) {
    remote_worker* const w = worker_with(awaited);
    if (w == nullptr || w->attended || w->reading || w->fault != nullptr) break;
    if (attend(*w, awaited, *bell, deadline, held, own)) continue;
    wake_collector();  // which sees what is wrong with it
    break;
  }
  bells_.push_back(std::move(bell));
  return own.has_value();
}

/// False if nothing came of it: neither a sleep nor an answer.
bool process_pool_executor::impl::attend(remote_worker& at, detail::state_base& awaited,
                                         process::done_bell& bell, detail::time_point deadline,
                                         lock& held, std::optional<untold>& own) {
  const std::uint64_t token = at.token;
  const int fd = at.bell();
  at.attended = true;
  poller_.pause(fd);
  const bool sleeps = (at.armed && !at.armed_late) || at.arm();
  if (sleeps) {
    held.unlock();
    bell.sleep(awaited, fd, deadline);
    held.lock();
  }
  const auto here = workers_.find(token);
  if (here == workers_.end()) return true;  // it is dead, and the call fails or runs elsewhere
  remote_worker& w = *here->second;
  w.attended = false;
  w.silence_bell();
  poller_.resume(fd, token, ipc::poller::trigger::edge);
  w.disarm();
  if (w.is_sending() && !w.reading) w.send_more();
  const bool any = drain(w, held, &awaited, &own);
  const auto still = workers_.find(token);
  if (still != workers_.end() && armed_ && !still->second->reading && !still->second->arm()) {
    wake_collector();
  }
  return sleeps || any;
}

}  // namespace cadre
