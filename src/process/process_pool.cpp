// SPDX-License-Identifier: MIT
#include "process/process_pool.hpp"

#include <signal.h>
#include <cadre/hooks.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "executor/timers.hpp"
#include "process/borrowed.hpp"
#include "process/code.hpp"
#include "process/module_table.hpp"
#include "process/pool_options.hpp"
#include "process/preload.hpp"
#include "process/role.hpp"
#include "process/start_hook.hpp"

namespace cadre {
namespace {

std::string next_name() {
  static constinit sync::atomic<unsigned> pools{0};
  // relaxed: a number that is used once.
  return "process-pool-" + std::to_string(pools.fetch_add(1, std::memory_order_relaxed));
}

/// The shared memory that a call refers to.
struct task_memories final : detail::attachments {
  std::optional<std::uint64_t> attach(std::shared_ptr<const void> what) override {
    auto memory = std::static_pointer_cast<const detail::shared_memory>(std::move(what));
    const std::uint64_t number = memory->number();
    if (std::find(all.begin(), all.end(), memory) == all.end()) {
      if (all.size() == process::most_memories) return std::nullopt;
      all.push_back(std::move(memory));
    }
    return number * 2;
  }
  std::vector<detail::memory_ptr> all;
};

}  // namespace

process_pool_executor::impl::impl(process_pool_options options)
    : call_owner{true},
      max_workers_{process::workers_of(options)},
      options_{std::move(options)},
      bytes_{options_.max_pending_bytes},
      crew_{[this] {
        if (!closed()) return;
        tell_shutdown();
        wake_collector();
      }} {
  process::require_possible_options(options_);
  if (options_.max_pending) {
    room_ = std::make_unique<detail::room>(*options_.max_pending);
  }
  if (options_.name.empty()) options_.name = next_name();
  process::install_crossings();
  // Here: the collector, which is a thread, could tell nobody that it is not possible.
  poller_.add(control_->fd(), control_token, ipc::poller::trigger::edge);
  // Workers are told of the modules of these two when they start.
  if (options_.initializer) {
    options_.initializer.encode(initializer_);
    process::module_table::instance().locate(options_.initializer.descriptor());
  }
  if (options_.finalizer) {
    options_.finalizer.encode(finalizer_);
    process::module_table::instance().locate(options_.finalizer.descriptor());
  }
  if (options_.preload) process::encode_preload(preload_, options_.preload);
}

process_pool_executor::impl::~impl() { join_collector(); }

/// The pool on whose behalf user code runs on this thread: it cannot wait until that has ended.
const process_pool_executor::impl*& process_pool_executor::impl::user_code_here() noexcept {
  constinit static thread_local const impl* here = nullptr;
  return here;
}

// --- submitters ---

/// Starts the collector, before the first call is anyone else's: there may be no thread. False if the
/// pool is closed.
bool process_pool_executor::impl::open() {
  const std::lock_guard held{mutex_};
  if (is(phase::fresh)) {
    start_collector();
    opened_before_role_ = process::awaits_role();
    phase_.store(phase::open, std::memory_order_relaxed);  // relaxed: the lock orders
  }
  return !closed();
}

void process_pool_executor::impl::prestart() {
  // A static pool: in a copy of this program, it would start further copies.
  if (!options_.prestart || process::awaits_role()) return;
  open();
  const std::lock_guard held{mutex_};
  prestarts_ = max_workers_;
  pump();
  wake_collector();
}

/// Under the lock.
void process_pool_executor::impl::close() noexcept {
  phase_.store(phase::closed, std::memory_order_relaxed);  // relaxed: the lock orders
  if (room_) room_->close();
  bytes_.wake();
}

/// For how many calls this one's times are to count; 0: they are not taken.
std::uint32_t process_pool_executor::impl::sample() const noexcept {
  constinit static thread_local std::uint32_t turn = 0;
  const std::uint32_t period = period_.load(std::memory_order_relaxed);  // relaxed: a hint
  if (period == 1)
    return 1;  // the turn stands still: a measured call has counted for those before it
  return ++turn % period == 0 ? period : 0;
}

/// Throws what encoding throws.
process::task* process_pool_executor::impl::prepare(detail::state_base& call,
                                                    const submit_options& options) {
  const detail::portable_call_traits* traits = call.portable();
  const process::borrowed<encoder> frame;
  task_memories memories;
  detail::large_parts parts{detail::large_parts::mode::copied, &memories};
  process::request_header header;
  header.descriptor = process::module_table::instance().locate(traits->descriptor);
  header.type = traits->descriptor->type;
  header.max_memory = options.max_memory;
  const std::string_view name = call.name();
  header.name_size = name.size();
  frame->write(&header, sizeof header);
  frame->write(name.data(), name.size());
  {
    const detail::parts_beside beside{*frame, parts};
    traits->encode(call, *frame);
  }
  header.size = frame->size() - sizeof header;
  header.parts = parts.size();
  const std::uint64_t whole = header.size + header.parts;
  if (whole > options_.max_message) {
    throw codec_error{"process_pool: the arguments of the call take " + std::to_string(whole) +
                      " bytes, more than the max_message of " +
                      std::to_string(options_.max_message) +
                      "; it was not sent: raise the limit, or pass less"};
  }
  process::task* t = process::task::make(call, options, *frame, parts, sample());
  t->header().size = header.size;
  t->header().parts = header.parts;
  t->header().is_measured = t->weight != 0;
  t->memories = std::move(memories.all);
  return t;
}

void process_pool_executor::impl::enqueue(detail::state_base& call, const submit_options& options) {
  if (forked()) refuse();
  if (call.portable() == nullptr) {
    throw std::invalid_argument{
        "process_pool: this call cannot leave the process, as that of future.then(pool, f) cannot; "
        "submit a function, a captureless lambda or cadre::bind with values as arguments, in "
        "future.then(f) for example"};
  }
  // Not every call takes the lock twice; the pool may be closed after this.
  if (!is(phase::open) && !open()) refuse();
  reserve_room(call);
  if (call.limit() != detail::never && clock::now() >= call.limit()) {  // there was no room before
    return fail_unsent(call, detail::expired_error(call));
  }
  process::task* t = nullptr;
  try {
    t = prepare(call, options);
  } catch (...) {
    fail_unsent(call, std::current_exception());
    return;
  }
  call.set_owner(this, generation_);
  call.owner_data = t;
  lock held{mutex_};
  if (closed()) {
    held.unlock();
    take_away(*t);
    refuse();
  }
  accept(*t, held);
}

/// Throws std::bad_alloc if the call was not accepted: it is over then.
void process_pool_executor::impl::accept(process::task& t, lock& held) {
  try {
    queue_.push(t);
  } catch (...) {
    held.unlock();
    take_away(t);
    throw;
  }
  ++totals_.submitted;
  ++outstanding_;
  bytes_.add(t.size());
  // The calls before it wait for the same as it does: whoever brings that calls pump().
  if (queue_.size() == 1 || may_have_more_workers()) pump();
  const bool wake = start_due();
  held.unlock();
  if (wake) wake_collector();
}

/// A call that is not accepted after all, and about to be told so by an exception.
void process_pool_executor::impl::take_away(process::task& t) noexcept {
  detail::state_base& call = t.call();
  if (room_) room_->leave();
  call.add_ref();  // the task's reference goes, that of the caller stays
  t.destroy();
  call.mark_observed();
  if (call.try_start()) {
    call.fail(std::make_exception_ptr(shutdown_error{"process_pool: closed"}));
  }
}

/// A call that could not be encoded is over before it was queued.
void process_pool_executor::impl::fail_unsent(detail::state_base& call,
                                              std::exception_ptr reason) noexcept {
  if (room_) room_->leave();
  {
    const std::lock_guard held{mutex_};
    ++totals_.submitted;
    ++totals_.failed;
  }
  if (call.try_start()) call.fail(std::move(reason));
  call.release();
}

void process_pool_executor::impl::refuse() {
  if (forked()) {
    throw broken_executor{
        "process_pool: it belongs to the parent of this forked process; make a new pool in the "
        "child"};
  }
  std::string why;
  {
    const std::lock_guard held{mutex_};
    why = broken_why_;
  }
  if (!why.empty()) throw broken_executor{why};
  throw shutdown_error{
      "process_pool: cannot submit after shutdown; the call was not accepted: submit it to another "
      "executor"};
}

// --- what futures ask, under LOCK of their state ---

bool process_pool_executor::impl::withdraw(detail::state_base& call) noexcept {
  if (forked()) return true;
  const std::lock_guard held{mutex_};
  auto* t = static_cast<process::task*>(call.owner_data);
  process::remote_worker* const w = t->worker;
  if (t->queued) {
    queue_.remove(*t);
  } else if (w == nullptr || !w->revoke(*t)) {
    return false;
  } else {
    begin_head(*w);                              // the next one's, which may never be heard of
    if (w->head() == nullptr) wake_collector();  // for limit_debts()
  }
  ++totals_.cancelled;
  give_back(1, t->size());
  over(1);
  t->destroy();
  return true;
}

bool process_pool_executor::impl::has_begun(detail::state_base& call) noexcept {
  const std::lock_guard held{mutex_};
  const auto* t = static_cast<const process::task*>(call.owner_data);
  // Not in a queue and with no worker: its answer is being decoded.
  return t->worker != nullptr ? t->worker->has_begun(*t) : !t->queued;
}

bool process_pool_executor::impl::stop_call(detail::state_base& call) noexcept {
  const std::lock_guard held{mutex_};
  auto* t = static_cast<process::task*>(call.owner_data);
  if (t->worker == nullptr || !t->worker->has_begun(*t)) return false;
  ask_to_stop(*t);
  return true;
}

/// Of a call that has begun. Who does not return within its grace is killed.
void process_pool_executor::impl::ask_to_stop(process::task& t) noexcept {
  if (t.stopping != process::stop_reason::none) return;
  t.stopping = process::stop_reason::request;
  t.deadline = clock::now();
  wake_collector();
}

/// That many calls left the pool. Under the lock.
void process_pool_executor::impl::over(std::size_t calls) noexcept {
  outstanding_ -= calls;
  if (outstanding_ != 0 || !closed()) return;  // only shutdown() waits for the last one
  tell_shutdown();
  wake_collector();
}

/// That it may look again.
void process_pool_executor::impl::tell_shutdown() noexcept {
  // release: pairs with the acquire in wait_until_idle().
  changes_.fetch_add(1, std::memory_order_release);
  sync::futex_wake(&changes_, INT32_MAX);
}

// --- the end ---

/// Cancels what has not begun.
void process_pool_executor::impl::cancel_pending() {
  std::vector<detail::ref<detail::state_base>> calls;
  {
    const std::lock_guard held{mutex_};
    queue_.for_each([&](process::task& t) { calls.emplace_back(&t.call()); });
    for (auto& [token, w] : workers_) {
      w->for_each([&](process::task& t) { calls.emplace_back(&t.call()); });
    }
  }
  // Without the lock: callbacks run. Those that have begun stay.
  for (const auto& call : calls) call->cancel();
}

/// For a sentence about why, and what now. Under the lock, before fail_queued().
std::string process_pool_executor::impl::pending_calls_failed() const {
  const std::size_t calls = queue_.size();
  return calls == 1 ? "; its pending call failed: "
                    : "; its " + std::to_string(calls) + " pending calls failed: ";
}

/// Fails what is queued.
void process_pool_executor::impl::fail_queued(lock& held, const std::string& why) {
  std::vector<verdict> verdicts;
  while (!queue_.empty())
    verdicts.push_back({&queue_.pop(), nullptr, std::make_exception_ptr(broken_executor{why})});
  count(verdicts);
  held.unlock();
  conclude(verdicts, held);
}

bool process_pool_executor::impl::wait_until_idle(detail::time_point deadline) noexcept {
  const detail::blocking_scope scope{nullptr, 0, false};
  for (;;) {
    // acquire: pairs with the release in over() and the collector.
    const std::uint32_t seen = changes_.load(std::memory_order_acquire);
    {
      const std::lock_guard held{mutex_};
      if (outstanding_ == 0 && workers_.empty() && helpers_ == 0 && crew_.idle()) return true;
    }
    if (crew_.run_here()) continue;
    if (!sync::futex_wait(changes_, seen, deadline)) return false;
  }
}

shutdown_report process_pool_executor::impl::shutdown(const shutdown_options& options) {
  if (forked()) return {};
  lock held{mutex_};
  close();
  // Of one of its own callbacks: it cannot wait for itself.
  const bool here = user_code_here() == this;
  held.unlock();
  if (options.cancel_pending) cancel_pending();
  wake_collector();
  shutdown_report report;
  if (!options.wait || here) {
    report.complete = false;
    report.still_running = stats().running;
    return report;
  }
  const auto deadline = detail::deadline_after(options.deadline);
  if (!wait_until_idle(deadline)) {
    cancel_pending();
    held.lock();
    for (auto& [token, w] : workers_) {
      process::task* const t = w->head();
      if (t != nullptr && w->has_begun(*t)) ask_to_stop(*t);
    }
    end_leftovers(options.grace);
    held.unlock();
    wake_collector();
    if (!wait_until_idle(detail::deadline_after(options.grace))) {
      report.complete = false;
      held.lock();
      for (auto& [token, w] : workers_) {
        process::task* t = w->head();
        if (t == nullptr) continue;
        ++report.still_running;
        if (!t->call().name().empty()) report.names.emplace_back(t->call().name());
      }
      return report;
    }
  }
  join_collector();
  return report;
}

void process_pool_executor::impl::end_workers(int signal) {
  if (forked()) return;
  lock held{mutex_};
  close();
  killed_ = true;
  start_wanted_ = false;
  held.unlock();
  cancel_pending();
  held.lock();
  for (auto& [token, w] : workers_) {
    begin_end(*w);
    w->end_steps = signal == SIGKILL ? 2 : 1;
    w->end_limit = w->end_steps == 1 ? detail::deadline_after(options_.end_grace) : detail::never;
    if (starter_ && w->process != 0) starter_->kill(w->process, signal);
    abandon_launch(*w, "the pool ends");
  }
  held.unlock();
  wake_collector();
}

void process_pool_executor::impl::join_collector() noexcept {
  std::thread ended;
  {
    const std::lock_guard held{mutex_};
    ended = std::move(collector_);
  }
  if (!ended.joinable()) return;
  ended.get_id() == std::this_thread::get_id() ? ended.detach() : ended.join();
  crew_.join();  // which the collector has told to end
}

// --- questions ---

executor_stats process_pool_executor::impl::stats() {
  if (forked()) return {};
  const std::lock_guard held{mutex_};
  executor_stats s = totals_;
  for (const auto& [token, w] : workers_) {
    const process::task* head = w->head();
    if (head == nullptr && w->now == process::remote_worker::condition::ending) continue;
    ++s.workers;
    if (head == nullptr) {
      if (!w->initialising) ++s.idle;
    } else if (w->has_begun(*head)) {
      ++s.running;
    }
  }
  // Not outstanding_: a call leaves that when its future has been told, and who was told may ask here.
  const std::uint64_t gone = s.finished + s.failed + s.cancelled + s.running;
  s.pending = s.submitted - std::min(s.submitted, gone);
  s.queue_time = detail::summarise(queue_times_);
  s.run_time = detail::summarise(run_times_);
  s.broken = broken_why_;
  return s;
}

std::vector<int> process_pool_executor::impl::worker_pids() {
  const std::lock_guard held{mutex_};
  std::vector<int> pids;
  for (const auto& [token, w] : workers_) {
    if (w->pid != 0) pids.push_back(w->pid);
  }
  return pids;
}

}  // namespace cadre
