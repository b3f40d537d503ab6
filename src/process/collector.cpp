// SPDX-License-Identifier: MIT
// process_pool_executor::impl: the thread that does what nobody waits for: it starts workers, reads
// answers while no waiter does, and keeps time. What it does with the dead is in deaths.cpp.
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/signals.hpp"
#include "process/exception_codec.hpp"
#include "process/module_table.hpp"
#include "process/process_pool.hpp"
#include "process/role.hpp"
#include "process/worker_main.hpp"

namespace cadre {

using process::death_report;
using process::frame_kind;
using process::remote_worker;
using process::stop_reason;
using process::task;

namespace {

constexpr std::uint64_t control_token = 0;  // workers' begin with 1
// A worker's socket, which it uses once, has its token and this bit.
constexpr std::uint64_t hello_bit = std::uint64_t{1} << 63;

// A call that runs so long gives back those that were sent behind it. A longer time lets these wait; a
// shorter one takes back more often what would have had its turn anyhow.
constexpr auto patience = std::chrono::milliseconds{100};

}  // namespace

// --- the thread ---

/// Under the lock.
void process_pool_executor::impl::start_collector() {
  const signals_blocked here;
  collector_ = std::thread{[self = shared_from_this()] { self->collect(); }};
}

void process_pool_executor::impl::collect() {
  ::pthread_setname_np(::pthread_self(), "cadre-collector");
  poller_.add(control_->fd(), control_token, ipc::poller::trigger::edge);
  std::array<ipc::poller::ready, 32> found{};
  lock held{mutex_};
  while (!finished_) {
    while (collect_once(held)) {
    }
    if (finished_) break;
    auto deadline = next_deadline();
    // Whoever waits for one call after the other reads the answers itself; workers that rang for each
    // would only cost time. It is enough to look now and then whether that has stopped.
    if (std::exchange(helped_, false) || helping_) {
      deadline = std::min(deadline, clock::now() + std::chrono::milliseconds{1});
    } else if (arm_all()) {
      sleeps_long_ = true;
    } else {
      continue;
    }
    held.unlock();
    const std::size_t count = poller_.wait(found, deadline);
    held.lock();
    sleeps_long_ = false;
    if (!helping_) disarm_all();
    for (std::size_t i = 0; i < count; ++i) {
      if ((found[i].token & hello_bit) == 0) continue;
      const auto w = workers_.find(found[i].token & ~hello_bit);
      if (w != workers_.end()) greet(*w->second);
    }
  }
  poller_.remove(control_->fd());
  auto starter = std::move(starter_);
  held.unlock();
}

/// One round of everything. True if it is to be repeated before the thread sleeps.
bool process_pool_executor::impl::collect_once(lock& held) {
  bool again = false;
  if (!deaths_.empty()) bury_dead(held);
  if (start_wanted_) {
    start_worker(held);
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
    }
    finished_ = workers_.empty();
  }
  return again;
}

bool process_pool_executor::impl::arm_all() noexcept {
  armed_ = true;
  bool all = true;
  for (auto& [token, w] : workers_) {
    if (!w->reading && !w->armed) all = w->arm() && all;
  }
  return all;
}

void process_pool_executor::impl::disarm_all() noexcept {
  armed_ = false;
  for (auto& [token, w] : workers_) {
    if (!w->reading) w->disarm();
  }
}

// --- birth ---

process::worker_spec process_pool_executor::impl::spec_of(unsigned index) const {
  const worker_settings& from = options_.worker;
  process::worker_spec spec;
  spec.method = static_cast<process::start_method>(options_.start_method);
  spec.environment = from.environment;
  spec.working_directory = from.working_directory;
  spec.nice = from.nice;
  spec.oom_score_adj = from.oom_score_adj;
  if (!from.affinity.empty()) spec.cpus = {from.affinity[index % from.affinity.size()]};
  spec.address_space = from.address_space;
  spec.cpu_seconds = from.cpu_seconds;
  spec.open_files = from.open_files;
  spec.sandbox.no_new_privileges = from.no_new_privileges;
  spec.sandbox.denied_system_calls = from.denied_system_calls;
  spec.sandbox.restrict_files = from.restrict_files;
  spec.sandbox.readable_paths = from.readable_paths;
  spec.sandbox.writable_paths = from.writable_paths;
  return spec;
}

/// Starts one worker. It is of use once it has sent its hello.
void process_pool_executor::impl::start_worker(lock& held) {
  start_wanted_ = false;
  unsigned index = 0;
  const auto taken = [&](unsigned i) {
    return std::any_of(workers_.begin(), workers_.end(),
                       [i](const auto& entry) { return entry.second->index == i; });
  };
  while (taken(index)) ++index;
  const std::uint64_t token = next_token_++;
  remote_worker* w = nullptr;
  try {
    process::require_may_have_workers();
    auto made = std::make_unique<remote_worker>(index, token, options_.max_message);
    w = workers_.emplace(token, std::move(made)).first->second.get();
    if (!starter_) starter_ = process::worker_starter::acquire();
    held.unlock();
    poller_.add(w->hello().fd(), token | hello_bit, ipc::poller::trigger::level);
    poller_.add(w->bell(), token, ipc::poller::trigger::edge);
    encoder argument;
    encode(argument, process::worker_argument{index, options_.max_resident != 0,
                                              options_.max_message, options_.name});
    // Without the lock: only this thread changes starter_.
    const auto started =
        starter_->start(spec_of(index), &process::worker_main, argument.bytes(), w->descriptors(),
                        [weak = weak_from_this(), token](const death_report& how) {
                          if (const auto self = weak.lock()) {
                            const std::lock_guard again{self->mutex_};
                            self->deaths_.emplace_back(token, how);
                            self->wake_collector();
                          }
                        });
    held.lock();
    w->process = started.id;
    w->pid = started.pid;
    if (killed_) starter_->kill(w->process, SIGKILL);  // end_workers() could not, as yet
    w->close_descriptors();
    w->idle_since = clock::now();
  } catch (const std::exception& e) {
    if (!held.owns_lock()) held.lock();
    const std::string why = e.what();
    if (w != nullptr) {
      poller_.remove(w->hello().fd());
      poller_.remove(w->bell());
      workers_.erase(token);
    }
    // The others will do the work, if there are any. The pool is not broken: descriptors, memory and
    // processes may be had again.
    if (workers_.empty()) {
      fail_queued(held, "process_pool \"" + options_.name + "\": no worker can be started: " + why +
                            "; its pending calls failed: submit them again later");
    }
  }
}

/// The worker has sent its memory.
void process_pool_executor::impl::greet(remote_worker& w) {
  try {
    std::array<std::byte, 16> buffer;
    const auto packet = w.hello().receive(buffer, ipc::packet_socket::mode::dont_wait);
    if (packet.result == ipc::packet_socket::outcome::would_block) return;
    poller_.remove(w.hello().fd());
    if (packet.result != ipc::packet_socket::outcome::done) return;  // its death will be told
    w.attach(packet.descriptors[0]);
  } catch (const std::exception&) {
    condemn(w);
    return;
  }
  if (options_.initializer) {
    w.initialise(header_of(*options_.initializer.descriptor(), frame_kind::initialize),
                 initializer_.bytes());
  } else {
    failed_starts_ = 0;
  }
  pump();
}

process::request_header process_pool_executor::impl::header_of(
    const detail::call_descriptor& descriptor, frame_kind kind) const {
  process::request_header header;
  header.kind = kind;
  header.descriptor = process::module_table::instance().locate(&descriptor);
  header.type = descriptor.type;
  return header;
}

void process_pool_executor::impl::initialised(remote_worker& w, const process::answers& from,
                                              const process::answer& a) {
  if (a.header.kind == frame_kind::value) {
    failed_starts_ = 0;
    return;
  }
  w.now = remote_worker::condition::ending;
  starter_->kill(w.process, SIGKILL);
  const auto cause = from.body(a);
  deferred_cause_.assign(cause.begin(), cause.end());
  deferred_break_ = "its initializer threw in worker " + std::to_string(w.index);
  wake_collector();
}

// --- time ---

/// Moves calls that are to end on to their next step. True if others were queued again for it.
bool process_pool_executor::impl::keep_time(clock::time_point now) {
  constexpr std::array signals{0, SIGTERM, SIGKILL};
  const std::size_t queued = queue_.size();
  for (auto& [token, w] : workers_) {
    task* t = w->head();
    if (t != nullptr && t->deadline <= now && t->stop_steps < signals.size()) {
      if (t->stop_steps != 0 && !set_apart(*w, *t)) {
        t->deadline = now + std::chrono::milliseconds{1};
        continue;
      }
      if (t->stopping == stop_reason::none) t->stopping = stop_reason::timeout;
      if (t->stop_steps == 0) {
        w->request_stop(*t);
      } else {
        starter_->kill(w->process, signals[t->stop_steps]);
      }
      ++t->stop_steps;
      t->deadline = t->stop_steps < signals.size() ? now + t->grace : detail::never;
    }
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

/// Before a signal that is meant for the call `t`: no other one is to be hit. False if the worker has
/// gone on to another one.
bool process_pool_executor::impl::set_apart(remote_worker& w, const task& t) {
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
    w->slow = true;
    any = take_back(*w, w->turn()) || any;
  }
  if (any) pump();
  return any;
}

process_pool_executor::impl::clock::time_point process_pool_executor::impl::next_deadline()
    const noexcept {
  auto first = detail::never;
  for (const auto& [token, w] : workers_) {
    if (w->crowded) first = std::min(first, w->crowded_until);
    if (const task* t = w->head()) {
      first = std::min(first, t->deadline);
      if (!w->slow && !w->initialising && w->has_spare()) {
        first = std::min(first, w->seen_since + patience);
      }
    } else if (w->now == remote_worker::condition::ready &&
               options_.idle_timeout != std::chrono::nanoseconds::max()) {
      first = std::min(first, w->idle_since + options_.idle_timeout);
    }
  }
  return first;
}

}  // namespace cadre
