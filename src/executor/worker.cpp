// SPDX-License-Identifier: MIT
#include "executor/worker.hpp"

#include <pthread.h>
#include <cadre/errors.hpp>

#include <algorithm>
#include <mutex>
#include <utility>

#include "sync/spin.hpp"

namespace cadre::detail {
namespace {

using clock = std::chrono::steady_clock;

// A submitter that is about as fast as the workers: each look at the inbox takes its line away from
// the submitter, for a call or two. Three looks in a row that found fewer calls than `trickle_end`
// tell; then the worker pauses before the next look, until more have come together.
constexpr int trickle_known = 3;
constexpr std::size_t trickle_end = 8;
constexpr int trickle_pauses = 40;

void count_one(sync::atomic<std::uint64_t>& c) noexcept {
  // relaxed, both: one writer; statistics order nothing.
  c.store(c.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

void uncount_one(sync::atomic<std::uint64_t>& c) noexcept {
  // relaxed, both: as count_one().
  c.store(c.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
}

std::uint64_t ns_since(clock::time_point begin) noexcept {
  return static_cast<std::uint64_t>(std::chrono::nanoseconds{clock::now() - begin}.count());
}

/// The lowest address that a claimed call may start at, so that it has some room below.
std::uintptr_t stack_floor() noexcept {
  constexpr std::size_t reserve = std::size_t{256} * 1024;
  pthread_attr_t attributes;
  void* base = nullptr;
  std::size_t size = 0;
  if (::pthread_getattr_np(::pthread_self(), &attributes) == 0) {
    ::pthread_attr_getstack(&attributes, &base, &size);
    ::pthread_attr_destroy(&attributes);
  }
  return reinterpret_cast<std::uintptr_t>(base) + std::min(reserve, size / 4);
}

[[noreturn]] void throw_too_deep() {
  throw deadlock_error{
      "wait: calls that wait for calls are nested deeper than the stacks of all workers and their "
      "replacements; this wait might never end: nest less deeply, or give threads larger stacks"};
}

}  // namespace

/// The run_context of one call that this worker executes.
struct worker::context : run_context {
  worker* self = nullptr;
  clock::time_point begin{};
  std::uint32_t weight = 0;  // calls for which this one is measured
};

void worker::run() {
  set_this_thread_worker(this);
  stack_limit_ = stack_floor();
  be_idle();  // so that its first call makes it look whether there is more, and wake the next
  while (state_base* call = next()) execute(*call, true);
  set_this_thread_worker(nullptr);
}

void worker::submit(state_base& call) {
  count_one(submitted_);
  try {
    deque_.push(&call);
  } catch (...) {
    uncount_one(submitted_);
    throw;
  }
  if (pool_.queue.stimulate()) pool_.try_start_worker();
}

bool worker::take_back(state_base& call) noexcept {
  state_base* const newest = deque_.pop();
  if (newest != &call) {
    if (newest != nullptr) deque_.push_quietly(newest);
    return false;
  }
  uncount_one(submitted_);
  return true;
}

state_base* worker::next() {
  for (;;) {
    if (pool_.queue.has_surplus() && retire(true)) return nullptr;
    state_base* call = find();
    // Looked at only now, since it lies where submitters write. What was accepted before the pool
    // was closed is found by the look after this.
    const bool closed = call == nullptr && pool_.queue.closed();
    if (closed) {
      call = find();
    } else if (call == nullptr) {
      pool_.queue.wake_napping();
      be_idle();
      trickle_ = 0;
      call = spin_for_work();
    }
    if (call != nullptr) {
      be_busy();
      return call;
    }
    if (closed ? retire(false) : !sleep_or_retire()) return nullptr;
  }
}

state_base* worker::find() {
  // At one look in 61 others' calls join the own ones, lest calls that submit calls starve them.
  constexpr unsigned fairness = 61;
  if (pool_.queue.paused()) return nullptr;
  if (state_base* call = pool_.queue.pop_urgent()) return call;
  if (++turn_ % fairness == 0 && !deque_.empty()) take_batch(true);
  if (state_base* call = deque_.take()) {
    deque_.prefetch();
    return call;
  }
  state_base* call = take_batch(false);
  if (call == nullptr) call = deque_.take();
  if (call == nullptr) call = pool_.steal(index_);
  if (call == nullptr) call = pool_.queue.pop_urgent();
  if (call == nullptr) {
    call = pool_.queue.pop_patient([this] { return pool_.deques_empty(); });
  }
  return call;
}

state_base* worker::take_batch(bool all_to_own) {
  if (trickle_ >= trickle_known && !all_to_own) {
    for (int i = 0; i < trickle_pauses; ++i) sync::pause();
  }
  const dispatcher::batch batch = pool_.queue.take_batch(deque_, all_to_own);
  if (!batch.counted) count_one(submitted_);
  // On their way out of the inbox nobody else saw the calls: not who went to sleep at that moment,
  // nor their submitters, who looked whether to start somebody.
  if (batch.inbox_calls > 1 || (batch.inbox_calls != 0 && batch.first == nullptr)) wake_others();
  if (batch.inbox_calls >= trickle_end) {
    trickle_ = 0;
    sync::spin_memory::here().much_came();
  } else if (batch.inbox_calls != 0) {
    trickle_ = std::min(trickle_ + 1, trickle_known);
  }
  return batch.first;
}

state_base* worker::spin_for_work() {
  constexpr int pauses = 64;  // about a microsecond
  if (!spinning_.pays() || pool_.spin <= pool_.spin.zero()) return nullptr;
  sync::spin_memory& memory = sync::spin_memory::here();
  const bool looks = memory.may_look();
  bool yields = memory.may_yield();
  clock::time_point now = clock::now();
  const clock::time_point begin = now;
  do {
    for (int i = 0; looks && i < pauses; ++i) {
      if (pool_.queue.has_work()) {
        spinning_.spun();
        memory.looked(true);
        if (state_base* call = find()) return call;
      }
      sync::pause();
    }
    if (state_base* call = find()) return call;
    if (yields) {
      // The submitter may need this very processor.
      yields = memory.yield(now);
      state_base* const call = find();
      if (!yields && deque_.empty()) memory.lost_turn(now);  // else the submitter had that turn
      if (call != nullptr) memory.looked(false);
      if (call != nullptr || !yields) return call;
    } else if (looks) {
      now = clock::now();
    } else {
      return nullptr;
    }
  } while (!pool_.queue.closed() && !pool_.queue.paused() && now - begin < pool_.spin);
  if (!yields) memory.looked(false);
  return nullptr;
}

/// False if the worker is to end.
bool worker::sleep_or_retire() {
  if (retire(true)) return false;
  const clock::time_point begin = clock::now();
  const auto deadline = deadline_after(pool_.idle_timeout);
  if (!pool_.queue.announce_sleep(bed_, [this] { return pool_.deques_empty(); })) return true;
  pool_.worker_rests();
  if (!bed_.parker.park(deadline)) {
    if (pool_.queue.withdraw(bed_)) return !retire(false);
    bed_.parker.park();  // a wake-up is on its way
  }
  pool_.queue.woken();
  spinning_.slept(clock::now() - begin, pool_.spin);
  return true;
}

/// Ends this worker, if there are too many (`surplus`) or in any case. True if it is to end.
bool worker::retire(bool surplus) {
  be_idle();
  if (!pool_.queue.dismiss(surplus, census::one_idle)) return false;
  counted_idle_ = false;
  // A submitter, or whoever resumes, may have counted on this worker, as long as it was there: look once
  // more.
  if (pool_.queue.paused() || (!pool_.queue.has_work() && pool_.deques_empty())) return true;
  if (pool_.queue.admit()) return false;
  if (pool_.queue.stimulate()) pool_.try_start_worker();
  return true;
}

void worker::be_idle() noexcept {
  if (spare_holds != 0) pool_.give_back_holds(std::exchange(spare_holds, 0));
  if (!std::exchange(counted_idle_, true)) pool_.queue.change(census::one_idle);
}

void worker::be_busy() noexcept {
  if (!std::exchange(counted_idle_, false)) return;
  pool_.queue.change(-census::one_idle);
  // While this worker counted as idle, submitters left their calls to it without waking others.
  wake_others();
}

void worker::wake_others() noexcept {
  if ((pool_.queue.has_work() || !pool_.deques_empty()) && pool_.queue.stimulate()) {
    pool_.try_start_worker();
  }
}

void worker::execute(state_base& call, bool from_queue) {
  if (from_queue && !call.is_posted() && !call.try_start()) {
    call.release();  // cancelled, or claimed by a waiter
    return;
  }
  count_one(started_);
  pool_.call_begins();
  if (is_timed(call)) queue_times_.add(ns_since_submission(call), 1);
  context c;
  c.self = this;
  c.registry = this;
  c.ended[false] = &failed_;
  c.ended[true] = &finished_;
  if (run_skip_ == 0) {
    c.weight = run_period_;
    run_skip_ = run_period_ - 1;
    c.begin = clock::now();
    c.sample = [](run_context& base) noexcept {
      const auto& measured = static_cast<const context&>(base);
      measured.self->measure_run_time(measured);
    };
  } else {
    --run_skip_;
  }
  if (from_queue && deque_.empty() && !pool_.queue.has_work()) {
    c.census = &pool_.queue.census_word();
    c.one_idle = census::one_idle;
  }
  call_frame frame{&call, stack_};
  c.runs = &frame.call;
  stack_ = &frame;
  if (from_queue) outermost_ = &c;
  call.run(c);
  if (from_queue) outermost_ = nullptr;
  stack_ = frame.caller;
  if (c.idle_announced) counted_idle_ = true;
  if (!from_queue) return;
  // The last reference runs the destructor of the value, which may do anything: not idle yet.
  if (counted_idle_ && !c.trivial_value && call.sole_owner()) be_busy();
  call.release();
}

void worker::measure_run_time(const context& c) noexcept {
  const std::uint64_t took = ns_since(c.begin);
  run_times_.add(took, c.weight);
  run_period_ = sampling_period(took);
}

void worker::claim(state_base& awaited) {
  if (!awaited.owned_by(&pool_)) return;
  const token_scope no_token{nullptr};  // the claimed call has its own, or none
  if (!stack_has_room()) {
    if (!pool_.queue.replacements_left()) throw_too_deep();
    return;
  }
  // It is often the newest of the own deque, or lies below calls that were claimed before.
  while (state_base* newest = deque_.pop()) {
    const bool found = newest == &awaited;
    if (!found && (newest->is_posted() || newest->is_pending())) {
      deque_.push_quietly(newest);
      break;
    }
    if (found && newest->try_start()) execute(*newest, false);
    newest->release();
    if (found) return;
  }
  if (awaited.try_start()) execute(awaited, false);
}

/// Two tasks that answer each other would else send each answer through a queue, whose lines and those
/// of the tasks move from one processor to the other: here only that of the answer does.
void worker::await_briefly(state_base& awaited) noexcept {
  constexpr int most_credit = 4;
  constexpr unsigned probe = 16;  // without credit, one wait in so many tries
  if (pool_.spin <= pool_.spin.zero()) return;
  if (await_credit_ <= 0 && ++await_turn_ % probe != 0) return;
  const auto has_more = [this] { return !deque_.empty() || pool_.queue.has_work(); };
  const auto over = [&] { return awaited.done() || has_more(); };
  if (!(awaited.has_owner() ? sync::look_until(over) : sync::watch_until(over))) {
    await_credit_ = std::max(await_credit_ - 1, 0);
  } else if (awaited.done()) {
    await_credit_ = std::min(await_credit_ + 1, most_credit);
  }
}

bool worker::stack_has_room() noexcept {
  // The frame, not a local variable: AddressSanitizer may keep those elsewhere.
  return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) > stack_limit_;
}

void worker::begin_block(state_base* const* awaited, std::size_t count, bool untimed_all) {
  blocked_ = {stack_, awaited, count};
  remembered_ = untimed_all && stack_ != nullptr;
  if (remembered_) remember_blocked(blocked_);
  pool_.queue.change(census::one_blocked);
  try {
    // When those that it awaits blocked, one worker was left: this one.
    if (untimed_all && pool_.queue.all_blocked() && awaits_pending(blocked_, pool_)) {
      throw_too_deep();
    }
  } catch (...) {
    end_block();
    throw;
  }
  wake_others();
}

void worker::end_block() noexcept {
  pool_.queue.change(-census::one_blocked);
  if (std::exchange(remembered_, false)) forget_blocked(blocked_);
}

void worker::begin_callbacks() noexcept {
  if (outermost_ == nullptr || !std::exchange(outermost_->idle_announced, false)) return;
  counted_idle_ = true;
  be_busy();
}

bool worker::wake_when_dry(const sync::parker* sleeper) noexcept {
  // With fewer it would be dry soon; and several threads may wait for one call each, which are not many.
  constexpr std::size_t many = 8;
  if (deque_.size() + pool_.queue.backlog_size() < many) return false;
  pool_.queue.wake_when_dry(sleeper);
  return true;
}

void worker::enter(entry& e) noexcept {
  const std::lock_guard lock{entries_mutex_};
  e.previous = std::exchange(entries_, &e);
}

void worker::leave(entry& e) noexcept {
  const std::lock_guard lock{entries_mutex_};
  entries_ = e.previous;
}

void worker::request_stop() {
  std::vector<ref<state_base>> calls;
  {
    const std::lock_guard lock{entries_mutex_};
    for (entry* e = entries_; e != nullptr; e = e->previous) calls.emplace_back(e->call);
  }
  // Without the lock: stop callbacks are user code.
  for (const auto& call : calls) call->request_stop();
}

void worker::add_names(std::vector<std::string>& names) {
  const std::lock_guard lock{entries_mutex_};
  for (entry* e = entries_; e != nullptr; e = e->previous) {
    if (!e->call->name().empty()) names.emplace_back(e->call->name());
  }
}

void worker::add_to(worker_totals& totals) const noexcept {
  // relaxed, all four: statistics order nothing. Read in the order opposite to the writes.
  totals.failed += failed_.load(std::memory_order_relaxed);
  totals.finished += finished_.load(std::memory_order_relaxed);
  // relaxed: as above
  totals.started += started_.load(std::memory_order_relaxed);
  totals.submitted += submitted_.load(std::memory_order_relaxed);
  queue_times_.add_to(totals.queue_times);
  run_times_.add_to(totals.run_times);
}

}  // namespace cadre::detail
