// SPDX-License-Identifier: MIT
// process_pool_executor::impl: which worker gets which call, and when it is to end.
#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include "process/process_pool.hpp"

namespace cadre {

using process::frame_kind;
using process::remote_worker;
using process::task;

namespace {

// What a worker has in hand beyond the call that it runs hides the time that an answer and the next
// request take. More of it cannot be cancelled as cheaply, and has to be taken back when another
// worker is idle.
constexpr std::uint64_t in_hand_ns = 1'000'000;
constexpr std::size_t most_in_hand = 200;

/// How long an idle worker may take to begin a call with that time limit. Longer: the call has less of
/// its time left for another worker. Shorter: workers are ended that only did not get a processor.
constexpr std::chrono::nanoseconds begin_patience(std::chrono::nanoseconds timeout) noexcept {
  using std::chrono::milliseconds;
  return std::clamp<std::chrono::nanoseconds>(timeout / 2, milliseconds{100}, milliseconds{250});
}

}  // namespace

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
  if (!queue_.empty() && !may_have_more_workers()) {
    start_wanted_ = false;
    return;
  }
  crowd now = look_around();
  if (queue_.empty() && now.any_idle && now.any_behind) {
    spread();
    now = look_around();
  }
  start_wanted_ = broken_why_.empty() && !breaking_ && !killed_ && is_short_of_workers(now);
}

process_pool_executor::impl::crowd process_pool_executor::impl::look_around() const noexcept {
  crowd found;
  for (const auto& [token, w] : workers_) {
    const std::size_t in_flight = w->in_flight();
    found.any_behind = found.any_behind || in_flight > 1;
    if (w->now == remote_worker::condition::ending) continue;
    if (w->now == remote_worker::condition::starting) {
      found.any_starting = true;
    } else if (in_flight == 0) {
      found.any_idle = found.any_idle || w->may_send();
    } else if (w->initialising) {
      ++found.initialising;
      found.waiting += in_flight - 1;
    } else if (in_flight > 1 && w->has_spare()) {
      found.waiting += in_flight - 1;
    }
  }
  return found;
}

/// One that ends has left its place; but no more of these stay than there are places.
bool process_pool_executor::impl::may_have_more_workers() const noexcept {
  return workers_.size() - ending_ < max_workers_ && ending_ <= max_workers_;
}

/// There are calls that wait, more of them than workers that are about to be of use, and room for one
/// more worker.
bool process_pool_executor::impl::is_short_of_workers(const crowd& now) const noexcept {
  if (prestarts_ != 0) return workers_.size() < max_workers_;
  if (now.any_starting || now.any_idle) return false;
  return now.waiting + queue_.size() > now.initialising && may_have_more_workers();
}

/// False if it was not possible, and the call is queued.
bool process_pool_executor::impl::send(remote_worker& w, task& t) {
  bool possible = false;
  try {
    possible = w.prepare_for(t.memories, control_);
  } catch (const std::exception&) {
    // No memory now.
  }
  if (!possible) {
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
  // It is to see how long this call has to wait behind another one.
  if (w.in_flight() > 1 && std::exchange(sleeps_long_, false)) wake_collector();
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
  // It has nothing else to do: if it does not begin this one soon, it is stopped, or worse. A call that
  // had such a worker before has its time limit only.
  if (t->losses != 0) {
    t->again_until = std::min(t->again_until, t->deadline);
  } else if (!w.initialising) {
    t->begin_limit = detail::deadline_after(begin_patience(*t->timeout));
  }
  wake_collector();
}

void process_pool_executor::impl::retire_if_due(remote_worker& w, const process::answer_header& a) {
  const bool old = options_.max_calls_per_worker && w.calls >= *options_.max_calls_per_worker;
  const bool large = options_.max_resident != 0 && a.resident > options_.max_resident;
  if ((old || large || w.signalled) && w.now == remote_worker::condition::ready) end_worker(w);
}

/// From here on it gets no call, and another worker may take its place.
void process_pool_executor::impl::begin_end(remote_worker& w) noexcept {
  if (std::exchange(w.now, remote_worker::condition::ending) != remote_worker::condition::ending) {
    ++ending_;
  }
}

/// What it has not begun goes to others; after the call that it runs it ends.
void process_pool_executor::impl::end_worker(remote_worker& w) {
  take_back(w, w.turn());
  process::request_header header{.kind = frame_kind::end};
  if (options_.finalizer) header = header_of(*options_.finalizer.descriptor(), frame_kind::end);
  begin_end(w);
  limit_end(w);
  w.send_control(header, finalizer_.bytes());
}

/// From now on it has only to end.
void process_pool_executor::impl::limit_end(remote_worker& w) noexcept {
  if (w.head() != nullptr || w.end_limit != detail::never || w.end_steps != 0) return;
  w.end_limit = detail::deadline_after(options_.end_grace);
  wake_collector();
}

/// It can be read no more, as `why` says. Its death will tell what becomes of its calls.
void process_pool_executor::impl::condemn(remote_worker& w, const char* why) {
  if (w.fault != nullptr) return;
  w.fault = why;
  begin_end(w);
  w.end_steps = 2;
  w.end_limit = detail::never;
  starter_->kill(w.process, SIGKILL);
}

}  // namespace cadre
