// SPDX-License-Identifier: MIT
// process_pool_executor::impl: which worker gets which call, and what its answers mean.
#include <cadre/hooks.hpp>

#include <time.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <system_error>
#include <utility>

#include "process/borrowed.hpp"
#include "process/exception_codec.hpp"
#include "process/process_pool.hpp"
#include "sync/spin.hpp"

namespace cadre {

using process::answer;
using process::answers;
using process::frame_kind;
using process::remote_worker;
using process::task;

namespace {

// What a worker has in hand beyond the call that it runs hides the time that an answer and the next
// request take. More of it cannot be cancelled as cheaply, and has to be taken back when another
// worker is idle.
constexpr std::uint64_t in_hand_ns = 100'000;
constexpr std::size_t most_in_hand = 200;
constexpr std::size_t least_in_hand = 2;

constexpr std::size_t most_answers = 64;  // of one worker, in one batch

/// What an answer holds beside its bytes.
class answer_parts final : public detail::parts_in_memory {
 public:
  answer_parts(std::span<const std::byte> bytes, const task& of, answer& a)
      : parts_in_memory{bytes, a.landed.get()}, of_{of}, answer_{a}, opened_(a.memories.size()) {}

  std::shared_ptr<const void> attached(std::uint64_t number) override {
    if (number % 2 == 0) {
      for (const detail::memory_ptr& memory : of_.memories) {
        if (memory->number() == number / 2) return memory;
      }
      return nullptr;
    }
    if (number / 2 >= opened_.size()) return nullptr;
    detail::memory_ptr& memory = opened_[static_cast<std::size_t>(number / 2)];
    process::received_memory& received = answer_.memories[static_cast<std::size_t>(number / 2)];
    if (memory == nullptr) {
      if (!received.handle) {
        throw std::system_error{EMFILE, std::system_category(),
                                "process_pool: the shared memory of a result cannot be received, "
                                "since this process has no descriptor left; raise ulimit -n"};
      }
      memory = detail::shared_memory::open(std::move(received));
    }
    return memory;
  }

 private:
  const task& of_;
  answer& answer_;
  std::vector<detail::memory_ptr> opened_;
};

/// To the kernel's tick, of some milliseconds; for a fifth of what the clock costs.
std::chrono::steady_clock::time_point coarse_now() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return std::chrono::steady_clock::time_point{std::chrono::seconds{now.tv_sec} +
                                               std::chrono::nanoseconds{now.tv_nsec}};
}

std::exception_ptr decode_result_exception(decoder& in) noexcept {
  try {
    return detail::decode_exception(in);
  } catch (...) {
    return std::current_exception();
  }
}

}  // namespace

// --- calls to workers ---

std::size_t process_pool_executor::impl::window() const noexcept {
  if (mean_run_ns_ == 0) return least_in_hand;
  return std::clamp<std::size_t>(in_hand_ns / mean_run_ns_, least_in_hand, most_in_hand);
}

/// The worker with the least in hand, if that is less than `most`; of equals, the one that was busy
/// last: its caches are warm, and the others may go. A call of `size` bytes goes behind others only
/// where it can be sent whole: half of it could not be taken back.
remote_worker* process_pool_executor::impl::choose_worker(std::size_t most,
                                                          std::size_t size) noexcept {
  remote_worker* best = nullptr;
  for (auto& [token, w] : workers_) {
    if (!w->may_send() || w->slow || w->in_flight() >= most) continue;
    if (w->in_flight() != 0 && !w->has_room(size)) continue;
    // What it has begun cannot be taken back when it is to end.
    if (options_.max_calls_per_worker &&
        w->calls + w->in_flight() >= *options_.max_calls_per_worker) {
      continue;
    }
    if (best == nullptr || w->in_flight() < best->in_flight() ||
        (w->in_flight() == best->in_flight() && w->idle_since > best->idle_since)) {
      best = w.get();
    }
  }
  return best;
}

/// Sends queued calls to workers as far as these take them, and asks for one more worker if that
/// would help.
void process_pool_executor::impl::pump() {
  while (!queue_.empty()) {
    remote_worker* w = choose_worker(window(), queue_.front().size());
    if (w == nullptr) break;
    if (!send(*w, queue_.pop())) break;
  }
  if (queue_.empty()) spread();
  start_wanted_ =
      workers_.size() < max_workers_ && broken_why_.empty() && !killed_ && is_short_of_workers();
}

bool process_pool_executor::impl::is_short_of_workers() const noexcept {
  bool waiting = !queue_.empty();
  for (const auto& [token, w] : workers_) {
    const bool idle = w->may_send() && w->in_flight() == 0;
    if (w->now == remote_worker::condition::starting || idle) return false;
    waiting = waiting || w->has_spare();
  }
  return waiting;
}

/// False if it was not possible, and the call is queued.
bool process_pool_executor::impl::send(remote_worker& w, task& t) {
  if (!t.memories.empty() && !w.share_memories(t.memories, control_)) {
    // What is on its way to it should have arrived by then.
    constexpr std::chrono::milliseconds a_while{1};
    w.crowded = true;
    w.crowded_until = clock::now() + a_while;
    queue_.push_again(t);
    wake_collector();
    return false;
  }
  w.send(t);
  begin_head(w);
  // Whoever waits for this worker's bell was not told to wait for room, too.
  while (w.is_sending() && w.armed && !w.reading) {
    w.disarm();
    if (w.arm()) break;
    w.send_more();
  }
  return true;
}

/// Moves calls from workers that have several in hand to those that have none.
void process_pool_executor::impl::spread() {
  for (;;) {
    remote_worker* idle = choose_worker(1, 0);
    if (idle == nullptr) return;
    remote_worker* busy = nullptr;
    for (auto& [token, w] : workers_) {
      if (w->in_flight() > 1 && (busy == nullptr || w->in_flight() > busy->in_flight())) {
        busy = w.get();
      }
    }
    task* t = busy != nullptr ? busy->revoke_last() : nullptr;
    if (t == nullptr) return;
    if (!send(*idle, *t)) return;
  }
}

/// Queues again what `w` has not begun of what was sent behind the call `number`. True if that was
/// anything.
bool process_pool_executor::impl::take_back(remote_worker& w, std::uint64_t number) {
  bool any = false;
  while (task* t = w.revoke_last_behind(number)) {
    queue_.push_again(*t);
    any = true;
  }
  return any;
}

/// The clock of a call runs from when its worker has nothing else to do.
void process_pool_executor::impl::begin_head(remote_worker& w) noexcept {
  task* t = w.head();
  if (t == nullptr || !t->timeout || t->deadline != detail::never) return;
  t->deadline = detail::deadline_after(*t->timeout);
  wake_collector();
}

// --- answers ---

/// Reads what `w` has sent. True if that was anything.
bool process_pool_executor::impl::drain(remote_worker& w, lock& held) {
  if (w.reading || w.fault != nullptr || !w.readable()) return false;
  const process::borrowed<answers> batch;
  const process::borrowed<std::vector<verdict>> verdicts;
  w.place_answer();
  w.reading = true;
  held.unlock();
  const char* fault = remote_worker::damaged;
  try {
    verdicts->reserve(most_answers);  // there is one of each at most
    if (w.read(*batch, most_answers)) fault = nullptr;
  } catch (const std::exception&) {
    fault = "this process had no memory for what it had sent, and ended it";
  }
  held.lock();
  w.reading = false;
  w.prefetch_next();
  if (!deaths_.empty()) wake_collector();  // which could not bury it while we were reading
  for (answer& a : batch->list) take_answer(w, *batch, a, *verdicts);
  if (fault != nullptr) condemn(w, fault);
  if (w.is_sending()) w.send_more();
  begin_head(w);
  pump();
  const bool wake = start_wanted_;
  count(*verdicts);
  held.unlock();
  if (wake) wake_collector();
  conclude(*batch, *verdicts, held);
  return true;
}

void process_pool_executor::impl::take_answer(remote_worker& w, const answers& from, answer& a,
                                              std::vector<verdict>& to) {
  if (w.fault != nullptr) return;
  task* t = nullptr;
  const bool in_turn = w.take_next(a.header, t);
  w.slow = false;
  if (in_turn && std::exchange(w.initialising, false)) {
    initialised(w, from, a);
    return;
  }
  const frame_kind kind = a.header.kind;
  const bool fits = t == nullptr ? kind == frame_kind::skipped
                                 : kind == frame_kind::value || kind == frame_kind::error;
  if (!in_turn || !fits) {
    condemn(w);
    if (t != nullptr) to.push_back({t, nullptr, protocol_broken(*t, w)});
    return;
  }
  if (w.in_flight() == 0) w.idle_since = coarse_now();
  if (t == nullptr) return;
  t->worker = nullptr;
  ++w.calls;
  if (t->weight != 0) measure(*t, a.header);
  if (t->stopping == process::stop_reason::timeout) {
    to.push_back({t, nullptr, timed_out(*t)});
  } else {
    to.push_back({t, &a});
  }
  retire_if_due(w, a.header);
}

void process_pool_executor::impl::measure(const task& t, const process::answer_header& a) noexcept {
  const auto total = static_cast<std::uint64_t>(
      std::max<std::int64_t>(0, std::chrono::nanoseconds{clock::now() - t.submitted}.count()));
  const std::uint64_t ns = std::min(a.run_ns, total);  // a worker may say anything
  mean_run_ns_ =
      mean_run_ns_ == 0 ? std::max<std::uint64_t>(ns, 1) : (mean_run_ns_ * 7 + ns) / 8 + 1;
  // relaxed: a hint
  period_.store(detail::sampling_period(mean_run_ns_), std::memory_order_relaxed);
  run_times_.add(ns, t.weight);
  queue_times_.add(total - ns, t.weight);
}

/// Under the lock, before the futures are told: whoever sees a result sees it counted.
void process_pool_executor::impl::count(const std::vector<verdict>& all) noexcept {
  for (const verdict& v : all) ++(v.is_value() ? totals_.finished : totals_.failed);
}

/// Tells the futures, which were counted. Is called without the lock, and returns with it.
void process_pool_executor::impl::conclude(const answers& from, std::vector<verdict>& all,
                                           lock& held) noexcept {
  const impl* const outer = std::exchange(concluding_here(), this);
  for (verdict& v : all) {
    detail::state_base& call = v.of->call();
    // Nobody else starts it: it is in no queue, and withdraw() refuses.
    if (call.try_start()) {
      if (v.answered == nullptr) {
        call.fail(std::move(v.error));
      } else {
        decoder in{from.body(*v.answered)};
        answer_parts parts{from.parts(*v.answered), *v.of, *v.answered};
        detail::apart::receive(in, parts);
        if (v.is_value()) {
          const auto status = call.portable()->decode_result(call, in);
          if (status == detail::state_base::error) count_as_failed();
          call.finish(status);
        } else {
          call.fail(decode_result_exception(in));
        }
      }
    }
    v.of->destroy();
  }
  concluding_here() = outer;
  const std::size_t calls = all.size();
  all.clear();  // exceptions go without the lock
  held.lock();
  if (calls != 0) over(calls);
}

/// A call that was counted as finished, before its result could not be decoded.
void process_pool_executor::impl::count_as_failed() noexcept {
  const std::lock_guard held{mutex_};
  --totals_.finished;
  ++totals_.failed;
}

void process_pool_executor::impl::retire_if_due(remote_worker& w, const process::answer_header& a) {
  const bool old = options_.max_calls_per_worker && w.calls >= *options_.max_calls_per_worker;
  const bool large = options_.max_resident != 0 && a.resident > options_.max_resident;
  if ((old || large || w.signalled) && w.now == remote_worker::condition::ready) end_worker(w);
}

/// What it has not begun goes to others; after the call that it runs it ends.
void process_pool_executor::impl::end_worker(remote_worker& w) {
  take_back(w, w.turn());
  process::request_header header{.kind = frame_kind::end};
  if (options_.finalizer) header = header_of(*options_.finalizer.descriptor(), frame_kind::end);
  w.now = remote_worker::condition::ending;
  w.send_control(header, finalizer_.bytes());
}

/// It can be read no more, as `why` says. Its death will tell what becomes of its calls.
void process_pool_executor::impl::condemn(remote_worker& w, const char* why) {
  if (w.fault != nullptr) return;
  w.fault = why;
  w.now = remote_worker::condition::ending;
  starter_->kill(w.process, SIGKILL);
}

// --- waiters ---

detail::wait_helper* process_pool_executor::impl::begin_help(detail::state_base&) noexcept {
  const std::lock_guard held{mutex_};
  if (helping_) return nullptr;
  helping_ = true;
  helped_ = true;
  ++helpers_;
  if (armed_) disarm_all();
  // It will look now and then, from here on.
  if (std::exchange(sleeps_long_, false)) wake_collector();
  return this;
}

void process_pool_executor::impl::help(detail::state_base& awaited,
                                       detail::time_point deadline) noexcept {
  lock held{mutex_, std::defer_lock};
  const auto look = [&] {
    held.lock();
    bool progress = false;
    for (auto& [token, w] : workers_) {
      if (w->is_sending() && !w->reading && w->send_more()) progress = true;
      if (drain(*w, held)) {
        progress = true;
        break;  // workers_ may have changed meanwhile
      }
    }
    held.unlock();
    return progress || awaited.done();
  };
  while (!awaited.done() && (deadline == detail::never || clock::now() < deadline)) {
    if (!sync::watch_until(look, ipc::default_spin)) break;
  }
}

void process_pool_executor::impl::end_help(detail::state_base& awaited) noexcept {
  const std::lock_guard held{mutex_};
  helping_ = false;
  helped_ = true;
  // It takes longer: now the worker has to ring for its answer.
  if (!awaited.done() && !arm_all()) wake_collector();
  --helpers_;
  // release: pairs with the acquire in wait_until_idle().
  changes_.fetch_add(1, std::memory_order_release);
  if (closed()) sync::futex_wake(&changes_, INT32_MAX);
}

}  // namespace cadre
