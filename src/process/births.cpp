// SPDX-License-Identifier: MIT
// process_pool_executor::impl: how its collector starts workers, and takes them into service.
#include <signal.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "process/exception_codec.hpp"
#include "process/module_table.hpp"
#include "process/preload.hpp"
#include "process/process_identity.hpp"
#include "process/process_pool.hpp"
#include "process/role.hpp"
#include "process/worker_main.hpp"

namespace cadre {

using process::death_report;
using process::frame_kind;
using process::remote_worker;

namespace {

// So long a worker may take from its start to its hello, which takes it a millisecond; after a failure
// twice as long, up to the second. A shorter time ends workers that only did not get a processor, a
// longer one lets calls wait for one that is stopped.
constexpr std::chrono::milliseconds hello_limit{500};
constexpr std::chrono::milliseconds most_hello_limit{5000};

// Between failed starts, doubled from one to the next. Shorter: what is missing (processes, memory,
// descriptors) is not there yet. Longer: calls wait though it is there again.
constexpr std::chrono::milliseconds first_pause{5};
constexpr std::chrono::milliseconds longest_pause{200};

/// `base`, doubled so often.
constexpr std::chrono::milliseconds doubled(std::chrono::milliseconds base, unsigned times,
                                            std::chrono::milliseconds most) noexcept {
  return times > 16 ? most : std::min(base * (1 << times), most);
}

}  // namespace

process::worker_spec process_pool_executor::impl::spec_of(unsigned index) const {
  const worker_settings& from = options_.worker;
  process::worker_spec spec;
  spec.method = static_cast<process::start_method>(options_.start_method);
  spec.environment = from.environment;
  spec.unset_environment = from.unset_environment;
  spec.makers_scheduling = scheduling_;
  spec.working_directory = from.working_directory;
  spec.nice = from.nice;
  spec.oom_score_adj = from.oom_score_adj;
  if (!from.affinity.empty()) spec.cpus = {from.affinity[index % from.affinity.size()]};
  spec.address_space = from.address_space;
  spec.cpu_seconds = from.cpu_seconds;
  spec.open_files = from.open_files;
  spec.sandbox = process::sandbox_of(from, options_.max_message);
  spec.keep_descendants = from.keep_descendants;
  return spec;
}

/// Before the first start. Also lets a zygote be booted, which takes longest; if that fails, the start
/// tries it again, and tells why.
void process_pool_executor::impl::acquire_starter(lock& held) {
  held.unlock();
  std::shared_ptr<process::worker_starter> acquired;
  std::optional<launch_result> failed;
  try {
    process::require_may_have_workers(opened_before_role_);
    namespaces_ = process::namespaces_of_this_thread();
    acquired = process::worker_starter::acquire();
    acquired->prepare(spec_of(0), preload_.bytes(), namespaces_);
  } catch (const std::exception& e) {
    if (!acquired) failed = failure_of(0, e);
  }
  held.lock();
  starter_ = std::move(acquired);
  if (!failed) return;
  start_wanted_ = false;
  if (prestarts_ != 0) --prestarts_;
  launch_failed(*failed, held);
}

/// Starts one worker. It is of use once it has sent its hello.
void process_pool_executor::impl::start_worker(lock& held) {
  start_wanted_ = false;
  if (prestarts_ != 0) --prestarts_;
  const unsigned index = free_index();
  const std::uint64_t token = next_token_++;
  try {
    auto made = std::make_unique<remote_worker>(index, token, options_.max_message);
    made->launching = true;
    remote_worker& w = *workers_.emplace(token, std::move(made)).first->second;
    poller_.add(w.hello().fd(), token | hello_bit, ipc::poller::trigger::edge);
    poller_.add(w.bell(), token, ipc::poller::trigger::edge);
  } catch (const std::exception& e) {
    return launch_failed(failure_of(token, e), held);
  }
  launch(*workers_.find(token)->second, held);
}

void process_pool_executor::impl::launch(remote_worker& w, lock& held) noexcept {
  const std::uint64_t token = w.token;
  std::uint64_t begun = 0;
  held.unlock();  // the worker stays where it is as long as it is `launching`
  try {
    encoder argument;
    encode(argument, process::worker_argument{w.index, options_.max_resident != 0,
                                              options_.max_message, options_.name, w.secrets()});
    const process::worker_spec spec = spec_of(w.index);
    const auto fds = w.descriptors();
    begun = starter_->start(
        {spec, &process::worker_main, argument.bytes(), fds,
         [weak = weak_from_this(), token](const process::start_report& how) {
           const auto self = weak.lock();
           if (!self) return;
           self->launched(how.failure ? failure_of(token, *how.failure)
                                      : launch_result{token, how.id, how.pid, {}, false});
         },
         [weak = weak_from_this(), token](const death_report& how) {
           if (const auto self = weak.lock()) {
             const std::lock_guard again{self->mutex_};
             self->deaths_.emplace_back(token, how);
             self->wake_collector();
           }
         },
         options_.preload ? &process::run_preload : nullptr, preload_.bytes(), namespaces_});
  } catch (const std::exception& e) {
    launched(failure_of(token, e));
  }
  held.lock();
  w.launch = begun;
  if (options_.preload) w.end_limit = detail::deadline_after(options_.initializer_timeout);
  if (w.now == remote_worker::condition::ending) abandon_launch(w, "the pool ends");
}

/// Under the lock. What is started may wait for a preload, which takes as long as it takes.
void process_pool_executor::impl::abandon_launch(remote_worker& w, const char* why) noexcept {
  if (!w.launching || w.launch == 0) return;
  try {
    starter_->abandon(w.launch, why);
  } catch (const std::exception&) {
    // No memory for the words: its end is awaited.
  }
}

/// By whoever knows, without the lock.
void process_pool_executor::impl::launched(launch_result how) {
  const std::lock_guard held{mutex_};
  launches_.push_back(std::move(how));
  wake_collector();
}

process_pool_executor::impl::launch_result process_pool_executor::impl::failure_of(
    std::uint64_t token, const std::exception& why) {
  // Want of memory, processes or descriptors may pass; what a broken_executor says does not, as a rule.
  const auto* const known = dynamic_cast<const process::failed_start*>(&why);
  const bool passes =
      known != nullptr ? known->passing : dynamic_cast<const broken_executor*>(&why) == nullptr;
  return {token, 0, 0, why.what(), passes};
}

void process_pool_executor::impl::take_launches(lock& held) {
  for (const launch_result& how : std::exchange(launches_, {})) {
    if (how.process == 0) {
      launch_failed(how, held);
      continue;
    }
    remote_worker& w = *workers_.find(how.token)->second;
    ++totals_.workers_started;
    w.launching = false;
    w.process = how.process;
    w.pid = how.pid;
    w.close_descriptors();
    w.idle_since = clock::now();
    if (w.now == remote_worker::condition::starting) {
      w.end_limit =
          w.idle_since + doubled(hello_limit, failed_starts_ / cost_of_silence, most_hello_limit);
    } else if (w.now == remote_worker::condition::ending) {
      starter_->kill(w.process, SIGKILL);  // who wanted it to end could not kill it as yet
    }
    greet(w);  // it may have come before
  }
}

void process_pool_executor::impl::launch_failed(const launch_result& how, lock& held) {
  if (const auto w = workers_.find(how.token); w != workers_.end()) {
    poller_.remove(w->second->hello().fd());
    poller_.remove(w->second->bell());
    take_out(*w->second);
    tell_shutdown();
  }
  start_failed(how.passes ? 1 : start_budget);
  pump();
  // The others will do the work, if there are any. The pool is not broken: descriptors, memory and
  // processes may be had again.
  if (failed_starts_ < start_budget || has_workers()) return;
  start_succeeded();  // the next calls have a budget of their own
  fail_queued(held,
              "process_pool \"" + options_.name + "\": no worker can be started: " + how.failure +
                  pending_calls_failed() +
                  (how.passes ? "submit them again later" : "mend that, and submit them again"));
}

/// The lowest number that no other worker has, but for those that end.
unsigned process_pool_executor::impl::free_index() const noexcept {
  const auto taken = [&](unsigned i) {
    return std::any_of(workers_.begin(), workers_.end(), [i](const auto& entry) {
      return entry.second->now != remote_worker::condition::ending && entry.second->index == i;
    });
  };
  unsigned index = 0;
  while (taken(index)) ++index;
  return index;
}

/// A worker that may run calls, now or soon.
bool process_pool_executor::impl::has_workers() const noexcept {
  return std::any_of(workers_.begin(), workers_.end(), [](const auto& entry) {
    return entry.second->now != remote_worker::condition::ending;
  });
}

/// One budget for workers that were not born and for those that died before their first call.
void process_pool_executor::impl::start_failed(unsigned cost) noexcept {
  next_start_ = clock::now() + doubled(first_pause, failed_starts_, longest_pause);
  pausing_ = true;
  failed_starts_ = std::min(failed_starts_ + cost, start_budget);
}

void process_pool_executor::impl::start_succeeded() noexcept {
  failed_starts_ = 0;
  pausing_ = false;
}

/// The worker has sent its memory.
void process_pool_executor::impl::greet(remote_worker& w) {
  // Its process id is not known as yet: take_launches() looks again.
  if (w.launching) return;
  try {
    std::array<std::byte, 256> buffer;
    const auto packet = w.hello().receive(buffer, ipc::packet_socket::mode::dont_wait);
    if (packet.result == ipc::packet_socket::outcome::would_block) return;
    poller_.remove(w.hello().fd());
    if (packet.result != ipc::packet_socket::outcome::done) return;  // its death will be told
    if (packet.descriptor_count == 0 && !packet.cut_off) {
      w.refuse(std::span{buffer}.first(packet.size));
      return;
    }
    w.attach(packet.descriptors[0]);
  } catch (const std::exception&) {
    condemn(w);
    return;
  }
  w.end_limit = detail::never;
  if (w.now != remote_worker::condition::ready) return;
  // Of those that its first and last frame name, in particular.
  if (!w.tell_modules()) {
    condemn(w, "this process had no memory or descriptor to tell it which libraries there are");
    return;
  }
  if (options_.initializer) {
    w.initialise(header_of(*options_.initializer.descriptor(), frame_kind::initialize),
                 initializer_.bytes());
    w.end_limit = detail::deadline_after(options_.initializer_timeout);
  } else {
    start_succeeded();
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
  if (w.now == remote_worker::condition::ready) w.end_limit = detail::never;
  if (a.header.kind == frame_kind::value) return start_succeeded();
  begin_end(w);
  w.end_steps = 2;
  starter_->kill(w.process, SIGKILL);
  breaking_ = true;
  const auto cause = from.body(a);
  // To decode it may be the user's, and so is the hook.
  give_to_crew([this, index = w.index, bytes = std::vector<std::byte>(cause.begin(), cause.end())] {
    break_as_initialiser_failed(index, bytes);
  });
  wake_collector();
}

}  // namespace cadre
