// SPDX-License-Identifier: MIT
#include "executor/thread_pool.hpp"

#include <pthread.h>
#include <sched.h>
#include <cadre/detail/caught.hpp>
#include <cadre/hooks.hpp>

#include <algorithm>
#include <mutex>
#include <new>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "base/error_of.hpp"
#include "base/what_of.hpp"
#include "executor/option.hpp"
#include "executor/timers.hpp"
#include "executor/worker_identity.hpp"

namespace cadre {
namespace {

std::string next_prefix() {
  static constinit sync::atomic<unsigned> pools{0};
  // relaxed: a number that is used once.
  return "pool-" + std::to_string(pools.fetch_add(1, std::memory_order_relaxed));
}

}  // namespace

unsigned thread_pool_executor::impl::checked(int workers) {
  if (workers > 0 && static_cast<unsigned>(workers) <= most_workers) {
    return static_cast<unsigned>(workers);
  }
  throw std::invalid_argument{"thread_pool: max_workers must be between 1 and " +
                              std::to_string(most_workers) + ", got " + std::to_string(workers)};
}

thread_pool_executor::impl::impl(thread_pool_options options)
    : worker_pool{options.max_workers ? checked(*options.max_workers)
                                      : std::min(usable_cpus(), most_workers),
                  max_replacements},
      options_{std::move(options)},
      places_{max_workers() + max_replacements} {
  if (options_.max_pending) {
    if (*options_.max_pending == 0) {
      throw std::invalid_argument{"thread_pool: max_pending must be greater than 0, got 0"};
    }
    room_ = std::make_unique<detail::room>(*options_.max_pending);
  }
  detail::require_not_negative("thread_pool", "spin", options_.spin);
  detail::require_not_negative("thread_pool", "idle_timeout", options_.idle_timeout);
  const auto least = static_cast<std::size_t>(PTHREAD_STACK_MIN);
  if (options_.stack_size != 0 && options_.stack_size < least) {
    throw std::invalid_argument{"thread_pool: stack_size must be 0 or at least " +
                                std::to_string(least) + " bytes, got " +
                                std::to_string(options_.stack_size)};
  }
  for (const int cpu : options_.affinity) {
    if (cpu < 0 || cpu >= CPU_SETSIZE) {
      throw std::invalid_argument{"thread_pool: affinity names processor " + std::to_string(cpu) +
                                  "; it must be between 0 and " + std::to_string(CPU_SETSIZE - 1)};
    }
  }
  if (options_.thread_name_prefix.empty()) options_.thread_name_prefix = next_prefix();
  spin = options_.spin;
  idle_timeout = options_.idle_timeout;
}

thread_pool_executor::impl::~impl() {
  // The last owner may be one of the threads, in a pool that a call of its own destroyed.
  for (std::size_t i = 0; i != places_.size(); ++i) places_[i].thread.join();
  for (detail::thread& t : leaving_) t.join();
}

detail::worker* thread_pool_executor::impl::own_worker_here() const noexcept {
  detail::waiting_worker* worker = detail::this_thread_worker();
  return worker != nullptr && worker->works_for(this) ? static_cast<detail::worker*>(worker)
                                                      : nullptr;
}

void thread_pool_executor::impl::enqueue(detail::state_base& call, int priority) {
  queue.prefetch_inbox();
  // relaxed: a worker that does not see it yet will still run the call before it ends; for others
  // push() decides, but here submitters stop that would keep close() from coming to its end.
  if (forked() || refusing_.load(std::memory_order_relaxed)) refuse();
  call.set_owner(this, generation_);
  detail::worker* own = own_worker_here();
  if (own != nullptr && priority == 0) {
    if (room_) room_->enter_anyway();
    repost(*own, call);
    return;
  }
  if (room_ != nullptr) {
    if (own != nullptr) {
      room_->enter_anyway();
    } else if (!make_room(call)) {
      return;
    }
  }
  keep_room([&] { accept(call, priority); });
}

/// On a worker. noinline: else who submits from outside saves the registers that this needs.
[[gnu::noinline]] void thread_pool_executor::impl::repost(detail::worker& own,
                                                          detail::state_base& call) {
  detail::note_submission(call);
  keep_room([&] { own.repost(call); });
}

/// From a thread that is no worker, or with a priority. On an exception, the room is the caller's.
void thread_pool_executor::impl::accept(detail::state_base& call, int priority) {
  detail::note_submission(call);
  const bool started = queue.now().live() == 0 && start_first_worker();
  const auto outcome = queue.push(call, priority);
  // The first worker has just been started for this very call; unless it has given up already.
  const bool awaited =
      started && outcome != detail::dispatcher::outcome::closed && queue.now().live() != 0;
  if (!awaited) after_push(outcome);
}

void thread_pool_executor::impl::enqueue_all(detail::state_base*& first, std::size_t count) {
  if (forked() || refusing_.load(std::memory_order_relaxed)) refuse();  // relaxed: as enqueue()
  if (room_ || own_worker_here() != nullptr) {
    // One after the other: there may never be room for all of them, and a worker's own deque takes
    // no chain.
    for (; count > 0; --count) {
      detail::state_base* next = first->queue_next;
      enqueue(*first, 0);
      first = next;
    }
    return;
  }
  detail::state_base* call = first;
  for (std::size_t i = 0; i < count; ++i, call = call->queue_next) {
    call->set_owner(this, generation_);
    detail::note_submission(*call);
  }
  if (queue.now().live() == 0) start_first_worker();
  after_push(queue.push_all(*first, count));
}

void thread_pool_executor::impl::after_push(detail::dispatcher::outcome outcome) {
  switch (outcome) {
    case detail::dispatcher::outcome::accepted:
      return;
    case detail::dispatcher::outcome::accepted_start_worker:
      try_start_worker();
      return;
    case detail::dispatcher::outcome::closed:
      refuse();
  }
}

/// Room for one more pending call. False if the call has been run here instead.
bool thread_pool_executor::impl::make_room(detail::state_base& call) {
  if (room_->try_enter()) return true;
  // relaxed: push() will decide.
  if (refusing_.load(std::memory_order_relaxed)) refuse();
  if (options_.when_full != when_full::reject && detail::on_timer_thread()) {
    room_->enter_anyway();
    return true;
  }
  switch (options_.when_full) {
    case when_full::reject:
      throw queue_full{"thread_pool: " + std::to_string(*options_.max_pending) +
                       " calls are pending, as many as max_pending allows; the call was not "
                       "accepted: try again later, or let submit block"};
    case when_full::caller_runs:
      run_here(call);
      return false;
    case when_full::block:
      break;
  }
  const detail::blocking_scope scope{nullptr, 0, false};
  if (!room_->enter(call.limit())) refuse();
  return true;
}

void thread_pool_executor::impl::refuse() {
  if (forked()) {
    throw broken_executor{
        "thread_pool: it belongs to the parent of this forked process, and its threads exist only "
        "there; make a new pool in the child"};
  }
  const std::lock_guard lock{reason_mutex_};
  if (!broken_why_.empty()) throw broken_executor{broken_why_};
  throw shutdown_error{
      "thread_pool: cannot submit after shutdown; the call was not accepted: submit it to another "
      "executor"};
}

bool thread_pool_executor::impl::withdraw(detail::state_base&) noexcept {
  cancelled_.fetch_add(1, std::memory_order_relaxed);  // relaxed: statistics order nothing
  if (room_) room_->leave();
  return true;
}

// --- workers ---

bool thread_pool_executor::impl::start_first_worker() {
  if (!queue.admit()) return false;
  join_leaving();
  return occupy_place();
}

void thread_pool_executor::impl::prestart() {
  if (!options_.prestart) return;
  try {
    while (queue.now().live() < max_workers() && queue.admit()) {
      if (!occupy_place()) return;
    }
  } catch (...) {
    shutdown({});
    throw;
  }
}

void thread_pool_executor::impl::try_start_worker() noexcept {
  join_leaving();
  try_start_without_join();
}

void thread_pool_executor::impl::try_start_without_join() noexcept {
  if (!queue.admit()) return;
  try {
    occupy_place();
  } catch (...) {
    // The others will do the work, if there are any.
    if (queue.now().live() == 0) {
      break_pool("no worker can be started", std::current_exception());
    }
  }
}

/// Joins threads in their last lines. Without the lock, for which they may ask there; and so not to be
/// called by one of them.
void thread_pool_executor::impl::join_leaving() noexcept {
  for (;;) {
    detail::thread ended;
    {
      const std::lock_guard lock{places_mutex_};
      if (leaving_.empty()) return;
      // One by one: the memory stays with leaving_, where occupy_place() has reserved it.
      ended = std::move(leaving_.back());
      leaving_.pop_back();
    }
    ended.join();
  }
}

/// Starts a thread for an admitted worker. False if there is no place for it now.
bool thread_pool_executor::impl::occupy_place() {
  const std::lock_guard lock{places_mutex_};
  unsigned index = 0;
  while (index != places_.size() && places_[index].occupied) ++index;
  if (index == places_.size()) {  // threads that are about to end; the first of them looks again
    queue.dismiss(false, 0);
    return false;
  }
  place* const free = &places_[index];
  try {
    if (!free->worker) free->worker = std::make_unique<detail::worker>(*this, index);
    // relaxed: it is written under places_mutex_ only.
    const unsigned used = places_used_.load(std::memory_order_relaxed);
    // release: pairs with the acquire in for_each_worker().
    places_used_.store(std::max(used, index + 1), std::memory_order_release);
    // So that to leave needs no memory, not even if all do and nobody joins them meanwhile.
    leaving_.reserve(leaving_.size() + places_.size());
    const signals_blocked here;  // until the thread has set its own mask
    free->thread = detail::thread{options_.stack_size,
                                  [self = shared_from_this(), index] { self->thread_main(index); }};
    free->occupied = true;
    return true;
  } catch (const std::bad_alloc&) {
    queue.dismiss(false, 0);
    throw;
  } catch (...) {
    queue.dismiss(false, 0);
    std::throw_with_nested(std::system_error{
        std::make_error_code(std::errc::resource_unavailable_try_again),
        "thread_pool: cannot start a worker thread; lower max_workers, or raise the limit"});
  }
}

void thread_pool_executor::impl::thread_main(unsigned index) {
  scheduling_.apply();
  ::pthread_sigmask(SIG_SETMASK, &blocked_signals_, nullptr);
  detail::set_worker_identity({index, options_.thread_name_prefix, &executor_});
  if (initialise(index)) {
    places_[index].worker->run();
    try {
      if (options_.finalizer) options_.finalizer();
    } catch (...) {
      detail::report_unhandled("finalizer", options_.thread_name_prefix,
                               detail::caught("finalizer"));
    }
  } else {
    queue.dismiss(false, 0);
  }
  tell_idle();
  detail::clear_worker_context();
  detail::set_worker_identity({});
  {
    const std::lock_guard lock{places_mutex_};
    places_[index].occupied = false;
    leaving_.push_back(std::move(places_[index].thread));
  }
  departures_.fetch_add(1, std::memory_order_release);  // release: pairs with wait_for_workers()
  sync::futex_wake(&departures_, INT32_MAX);
  if (queue.has_work()) try_start_without_join();
}

bool thread_pool_executor::impl::initialise(unsigned index) {
  constexpr std::size_t longest_name = 15;  // the kernel's limit
  const std::string number = '_' + std::to_string(index);
  const std::string name =
      options_.thread_name_prefix.substr(0, longest_name - number.size()) + number;
  ::pthread_setname_np(::pthread_self(), name.c_str());
  if (!options_.affinity.empty()) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(options_.affinity[index % options_.affinity.size()]), &set);
    ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set);
  }
  try {
    if (options_.initializer) options_.initializer();
    return true;
  } catch (...) {
    const std::exception_ptr thrown = detail::caught("initializer");
    detail::report_unhandled("initializer", options_.thread_name_prefix, thrown);
    break_pool("its initializer threw", thrown);
    return false;
  }
}

detail::state_base* thread_pool_executor::impl::steal(unsigned thief) noexcept {
  // acquire: pairs with the release in occupy_place().
  const unsigned used = places_used_.load(std::memory_order_acquire);
  for (unsigned i = 1; i < used; ++i) {
    if (auto* call = places_[(thief + i) % used].worker->steal_from()) return call;
  }
  return nullptr;
}

bool thread_pool_executor::impl::deques_empty() const noexcept {
  bool empty = true;
  for_each_worker([&](detail::worker& w) { empty = empty && w.deque_empty(); });
  return empty;
}

template <typename Function>
void thread_pool_executor::impl::for_each_worker(Function function) const {
  // acquire: pairs with the release in occupy_place().
  const unsigned used = places_used_.load(std::memory_order_acquire);
  for (unsigned i = 0; i < used; ++i) function(*places_[i].worker);
}

// --- the end ---

void thread_pool_executor::impl::break_pool(const char* what,
                                            const std::exception_ptr& reason) noexcept {
  const std::exception_ptr error = detail::error_of([&] {
    std::string why = "thread_pool \"" + options_.thread_name_prefix + "\": it is broken, since " +
                      what + ": " + detail::what_of(reason) +
                      "; its pending calls failed: make a new pool";
    broken_executor made{why};
    const std::lock_guard lock{reason_mutex_};
    if (broken_why_.empty()) broken_why_ = std::move(why);
    return made;
  });
  refusing_.store(true, std::memory_order_relaxed);  // relaxed: push() decides
  if (room_) room_->close();
  queue.close();
  drop_pending(error);
}

/// Cancels every queued call, or fails it with `reason`.
void thread_pool_executor::impl::drop_pending(const std::exception_ptr& reason) noexcept {
  detail::state_base* begun = nullptr;
  const auto drop = [&](detail::state_base& call) {
    if (reason == nullptr && call.is_rest()) {
      call.queue_next = std::exchange(begun, &call);
      return;
    }
    if (reason == nullptr && !call.is_posted()) {
      call.cancel();
    } else if (call.is_posted() || call.try_start()) {
      call_begins();
      call.fail(reason);
      // relaxed: statistics order nothing.
      (reason == nullptr ? cancelled_ : ended_elsewhere_[false])
          .fetch_add(1, std::memory_order_relaxed);
    }
    call.release();
  };
  for (detail::state_base* call = queue.take_all(); call != nullptr;) {
    drop(*std::exchange(call, call->queue_next));
  }
  for_each_worker([&](detail::worker& w) {
    while (detail::state_base* call = w.steal_from()) drop(*call);
  });
  while (begun != nullptr) requeue(*std::exchange(begun, begun->queue_next));
}

shutdown_report thread_pool_executor::impl::shutdown(const shutdown_options& options) {
  if (forked()) return {};
  refusing_.store(true, std::memory_order_seq_cst);  // seq_cst: before resume(); pairs with pause()
  if (room_) room_->close();
  if (options.cancel_pending) drop_pending(nullptr);  // in a paused pool, before any begins
  resume();
  close_unless_held();
  if (options.cancel_pending) drop_pending(nullptr);
  if (!options.wait || own_worker_here() != nullptr) return report(false);
  const auto deadline = detail::deadline_after(options.deadline);
  if (!wait_for_workers(deadline)) {
    drop_pending(nullptr);
    for_each_worker([](detail::worker& w) { w.request_stop(); });
    stop_suspended();
    if (!wait_for_workers(detail::deadline_after(options.grace))) return report(false);
  }
  return report(true);
}

bool thread_pool_executor::impl::wait_for_workers(sync::time_point deadline) noexcept {
  const detail::blocking_scope scope{nullptr, 0, false};
  for (;;) {
    // acquire: pairs with the release in thread_main().
    const std::uint32_t seen = departures_.load(std::memory_order_acquire);
    bool all_gone = false;
    {
      const std::lock_guard lock{places_mutex_};
      all_gone = true;
      for (std::size_t i = 0; i != places_.size(); ++i) all_gone = all_gone && !places_[i].occupied;
      if (all_gone && leaving_.empty() && queue.closed() && !held()) return true;
      all_gone = all_gone && !leaving_.empty();
    }
    if (all_gone) {
      join_leaving();  // one of them may have started another: look again
    } else if (!sync::futex_wait(departures_, seen, deadline)) {
      return false;
    }
  }
}

shutdown_report thread_pool_executor::impl::report(bool complete) {
  shutdown_report result;
  result.complete = complete;
  if (complete) return result;
  result.still_running = stats().running;
  for_each_worker([&](detail::worker& w) { w.add_names(result.names); });
  add_suspended(result);
  return result;
}

executor_stats thread_pool_executor::impl::stats() {
  detail::worker_totals totals;
  // Ends before begins before submissions: see worker::add_to().
  executor_stats s;
  s.cancelled = cancelled_.load(std::memory_order_relaxed);  // relaxed: statistics order nothing
  for_each_worker([&](detail::worker& w) { w.add_to(totals); });
  // relaxed, both: statistics order nothing.
  const std::uint64_t failed_elsewhere = ended_elsewhere_[false].load(std::memory_order_relaxed);
  const std::uint64_t returned_elsewhere = ended_elsewhere_[true].load(std::memory_order_relaxed);
  s.finished = totals.finished + returned_elsewhere;
  s.failed = totals.failed + failed_elsewhere;
  s.running = totals.started - totals.finished - totals.failed;
  // relaxed: as above.
  const std::uint64_t run_by_callers = run_by_callers_.load(std::memory_order_relaxed);
  s.submitted = forked() ? 0 : queue.accepted() + totals.submitted + run_by_callers;
  // accepted() moved calls on, out of sight of submitters that looked whether to start a worker.
  if (!forked() && queue.has_work() && queue.stimulate()) try_start_worker();
  const std::uint64_t gone = s.finished + s.failed + s.running + s.cancelled;
  s.pending = s.submitted > gone ? s.submitted - gone : 0;
  const detail::census c = queue.now();
  s.workers = c.live();
  s.idle = c.idle();
  s.queue_time = detail::summarise(totals.queue_times);
  s.run_time = detail::summarise(totals.run_times);
  const std::lock_guard lock{reason_mutex_};
  s.broken = broken_why_;
  return s;
}

}  // namespace cadre
