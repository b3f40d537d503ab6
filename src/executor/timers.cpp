// SPDX-License-Identifier: MIT
#include "executor/timers.hpp"

#include <pthread.h>
#include <cadre/errors.hpp>

#include <algorithm>
#include <climits>
#include <system_error>
#include <thread>
#include <utility>

#include "base/error_of.hpp"
#include "base/keep_for_ever.hpp"
#include "base/keep_loaded.hpp"
#include "base/signals.hpp"
#include "future/waiter.hpp"

namespace cadre::detail {
namespace {

using clock = std::chrono::steady_clock;

// How long the thread stays without a timer. Longer: it is there for the next one, which costs
// 50 us to start it. Shorter: less time in which a program without timers has the thread.
constexpr std::chrono::milliseconds linger{50};

constinit sync::mutex timers_mutex;
constinit sync::atomic<timers*> the_timers{nullptr};
constinit thread_local bool on_its_thread = false;

// After fork() in the child the thread does not exist, and the executors are the parent's.
[[maybe_unused]] const int registered =
    ::pthread_atfork([] { timers_mutex.lock(); }, [] { timers_mutex.unlock(); },
                     [] {
                       // relaxed: a forked child has one thread.
                       timers* const all = the_timers.load(std::memory_order_relaxed);
                       if (all != nullptr) all->forget_parents();
                       on_its_thread = false;
                       timers_mutex.unlock();
                     });

std::exception_ptr make_shutdown_error() noexcept {
  return error_of([] {
    return shutdown_error{
        "timer: its executor was shut down before its time came; the call was not run: keep the "
        "executor for as long as its timers are wanted"};
  });
}

/// Whoever shuts down an executor with timers knows; nobody need be told who did not ask.
void fail_quietly(state_base& call, const std::exception_ptr& reason) noexcept {
  if (!call.try_start()) return;
  call.mark_observed();
  call.fail(reason);
}

/// A call that is to be submitted once.
class one_shot final : public timer {
 public:
  one_shot(executor& e, state_base& call, const submit_options& options, bool relayed)
      : timer{&e}, call_{&call}, options_{options}, relayed_{relayed} {}

  void fire() noexcept override {
    if (!relayed_) return submit_proxy(*where, *call_, options_);
    run_context context;
    if (call_->try_start()) call_->run(context);
  }
  void fail(const std::exception_ptr& reason) noexcept override { fail_quietly(*call_, reason); }
  bool is_dead() noexcept override { return !call_->is_pending(); }

 private:
  const ref<state_base> call_;
  const submit_options options_;
  const bool relayed_;
};

}  // namespace

bool on_timer_thread() noexcept { return on_its_thread; }

timers& timers::instance() {
  const std::lock_guard held{timers_mutex};
  // relaxed: it is written under the lock.
  timers* all = the_timers.load(std::memory_order_relaxed);
  if (all == nullptr) {
    all = new timers;  // for ever: its thread may outlive static destruction
    // release: pairs with the acquire in end().
    the_timers.store(all, std::memory_order_release);
  }
  return *all;
}

void timers::add(std::unique_ptr<timer> t, time_point due) {
  const std::lock_guard held{timers_mutex};
  add_locked(std::move(t), due);
}

void timers::add_again(repeated_call& series, std::unique_ptr<timer> t, time_point due) {
  const std::lock_guard held{timers_mutex};
  if (series.listed_) add_locked(std::move(t), due);
}

void timers::add_locked(std::unique_ptr<timer> t, time_point due) {
  if (!has_thread_) {
    try {
      keep_loaded();
      const signals_blocked here;
      std::thread{[this] { run(); }}.detach();
    } catch (const std::system_error&) {
      std::throw_with_nested(std::system_error{
          std::make_error_code(std::errc::resource_unavailable_try_again),
          "timer: cannot start the thread that waits for timers; raise the limit of threads"});
    }
    has_thread_ = true;
  }
  // It may have been cancelled, counted and swept for before it was here. relaxed: a hint.
  if (t->is_dead()) cancelled_.fetch_add(1, std::memory_order_relaxed);
  const std::uint64_t number = next_number_++;
  heap_.push_back({due, number, std::move(t)});
  std::push_heap(heap_.begin(), heap_.end(), later{});
  set_size();
  if (heap_.front().number == number) changed_.unpark();
}

void timers::enlist(repeated_call& series) noexcept {
  const std::lock_guard held{timers_mutex};
  series.next_ = repeated_;
  if (repeated_ != nullptr) repeated_->previous_ = &series;
  repeated_ = &series;
  series.listed_ = true;
}

void timers::strike(repeated_call& series) noexcept {
  const std::lock_guard held{timers_mutex};
  strike_locked(series);
}

void timers::strike_locked(repeated_call& series) noexcept {
  if (!std::exchange(series.listed_, false)) return;
  (series.previous_ != nullptr ? series.previous_->next_ : repeated_) = series.next_;
  if (series.next_ != nullptr) series.next_->previous_ = series.previous_;
}

// --- the thread ---

void timers::run() noexcept {
  on_its_thread = true;
  ::pthread_setname_np(::pthread_self(), "cadre-timers");
  lock held{timers_mutex};
  for (;;) {
    if (needs_sweep()) {
      sweep(held);
    } else if (heap_.empty()) {
      if (!sleep(held, clock::now() + linger) && heap_.empty()) break;
    } else if (const time_point due = heap_.front().due; due > clock::now()) {
      sleep(held, due);
    } else {
      fire_first(held);
    }
  }
  has_thread_ = false;
}

/// False if the time passed without a change.
bool timers::sleep(lock& held, time_point deadline) noexcept {
  held.unlock();
  const bool changed = changed_.park(deadline);
  held.lock();
  return changed;
}

void timers::fire_first(lock& held) noexcept {
  std::pop_heap(heap_.begin(), heap_.end(), later{});
  std::unique_ptr<timer> first = std::move(heap_.back().what);
  heap_.pop_back();
  set_size();
  firing_ = first->where;
  held.unlock();
  first->fire();
  first.reset();
  held.lock();
  firing_ = nullptr;
  if (enders_ == 0) return;
  // release: pairs with the acquire in end_all().
  fired_.fetch_add(1, std::memory_order_release);
  sync::futex_wake(&fired_, INT_MAX);
}

bool timers::needs_sweep() const noexcept {
  // relaxed, both: hints. When half of the timers are dead a sweep pays: its cost is linear.
  const std::size_t cancelled = cancelled_.load(std::memory_order_relaxed);
  // relaxed: as above
  return cancelled != 0 && 2 * cancelled >= size_.load(std::memory_order_relaxed);
}

void timers::sweep(lock& held) noexcept {
  // Before the look, so that whoever is cancelled meanwhile is counted again. acquire: pairs with the
  // release in note_dead(); those that were counted look dead.
  cancelled_.exchange(0, std::memory_order_acquire);
  std::unique_ptr<timer> dead = take_if([](timer& t) { return t.is_dead(); });
  held.unlock();
  while (dead != nullptr) dead = std::move(dead->next);
  held.lock();
}

bool timers::withdraw(state_base&) noexcept {
  note_dead();
  return true;
}

void timers::note_dead() noexcept {
  // release: pairs with the acquire in sweep().
  cancelled_.fetch_add(1, std::memory_order_release);
  if (needs_sweep()) changed_.unpark();
}

/// Takes timers out of the heap.
template <typename Predicate>
std::unique_ptr<timer> timers::take_if(Predicate wanted) noexcept {
  std::unique_ptr<timer> taken;
  const auto end = std::remove_if(heap_.begin(), heap_.end(), [&](entry& e) {
    if (!wanted(*e.what)) return false;
    e.what->next = std::move(taken);
    taken = std::move(e.what);
    return true;
  });
  if (taken == nullptr) return taken;
  heap_.erase(end, heap_.end());
  std::make_heap(heap_.begin(), heap_.end(), later{});
  set_size();
  return taken;
}

void timers::set_size() noexcept {
  // relaxed: a hint for needs_sweep().
  size_.store(heap_.size(), std::memory_order_relaxed);
}

// --- the ends ---

void timers::end(const executor& where) {
  // acquire: pairs with the release in instance().
  if (timers* all = the_timers.load(std::memory_order_acquire)) all->end_all(where);
}

void timers::end_all(const executor& where) {
  // By next_, which is free in those that are not listed: to end them needs no memory. References.
  repeated_call* struck = nullptr;
  lock held{timers_mutex};
  std::unique_ptr<timer> ended = take_if([&](const timer& t) { return t.where == &where; });
  for (repeated_call* s = repeated_; s != nullptr;) {
    repeated_call& here = *std::exchange(s, s->next_);
    if (&here.where() != &where) continue;
    strike_locked(here);
    if (here.try_add_ref()) here.next_ = std::exchange(struck, &here);
  }
  ++enders_;
  while (firing_ == &where && !on_timer_thread()) {
    // acquire: pairs with the release in fire_first().
    const std::uint32_t seen = fired_.load(std::memory_order_acquire);
    held.unlock();
    sync::futex_wait(fired_, seen);
    held.lock();
  }
  --enders_;
  const bool idle = heap_.empty();
  held.unlock();
  if (idle && ended != nullptr) changed_.unpark();
  if (ended == nullptr && struck == nullptr) return;
  const std::exception_ptr reason = make_shutdown_error();
  for (; ended != nullptr; ended = std::move(ended->next)) ended->fail(reason);
  while (struck != nullptr) {
    repeated_call* const next = struck->next_;
    const ref s{std::exchange(struck, next), ref<repeated_call>::adopt{}};
    fail_quietly(*s, reason);
  }
}

void timers::forget_parents() noexcept {
  if (!heap_.empty()) keep_for_ever(std::make_shared<std::vector<entry>>(std::move(heap_)));
  heap_.clear();
  set_size();
  firing_ = nullptr;
  enders_ = 0;
  has_thread_ = false;
  for (repeated_call* s = std::exchange(repeated_, nullptr); s != nullptr; s = s->next_) {
    s->listed_ = false;
  }
}

void start_at(executor& where, time_point due, state_base& call, const submit_options& options,
              bool relayed) {
  if (due > clock::now()) {
    timers& all = timers::instance();
    call.set_owner(&all, fork_generation());
    all.add(std::make_unique<one_shot>(where, call, options, relayed), due);
    call.release();  // the timer has its own
    return;
  }
  const ref taken{&call, ref<state_base>::adopt{}};
  if (relayed) return one_shot{where, call, options, true}.fire();
  try {
    call.add_ref();
    executor_access::enqueue(where, call, options);
  } catch (...) {
    call.release();
    if (call.try_start()) call.fail(std::current_exception());
  }
}

}  // namespace cadre::detail
