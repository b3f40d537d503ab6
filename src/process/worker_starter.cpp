// SPDX-License-Identifier: MIT
#include "process/worker_starter.hpp"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <iterator>
#include <mutex>
#include <system_error>
#include <utility>

#include "base/threads.hpp"
#include "process/process_identity.hpp"
#include "process/start_limits.hpp"
#include "process/start_token.hpp"

namespace cadre::process {
namespace {

/// Outlives static destruction, when a pool may still end.
union registry {
  constexpr registry() : current{} {}
  ~registry() {}
  std::weak_ptr<worker_starter> current;
};
constinit sync::mutex registry_mutex;
constinit registry the_registry;

zygote_link::kind kind_for(const worker_spec& spec, std::span<const std::byte> preload_argument,
                           const process_status& status, std::string_view namespaces) {
  return {process_identity(status, namespaces),
          spec.keep_descendants,
          spec.sandbox.leaves_session(),
          {reinterpret_cast<const char*>(preload_argument.data()), preload_argument.size()}};
}

[[maybe_unused]] const int registered =
    ::pthread_atfork([] { registry_mutex.lock(); }, [] { registry_mutex.unlock(); },
                     [] { registry_mutex.unlock(); });

}  // namespace

std::shared_ptr<worker_starter> worker_starter::acquire() {
  const std::lock_guard lock{registry_mutex};
  std::shared_ptr<worker_starter> starter = the_registry.current.lock();
  if (starter == nullptr || starter->owner_ != ::getpid()) {
    starter = {new worker_starter, &worker_starter::release};
    the_registry.current = starter;
  }
  return starter;
}

worker_starter::worker_starter() : owner_{::getpid()}, fork_answers_{ipc::packet_socket::pair()} {
  poller_.add(wake_.fd(), start_token::wake, ipc::poller::trigger::edge);
  poller_.add(watch_.fd(), start_token::watch, ipc::poller::trigger::edge);
  poller_.add(fork_answers_.first.fd(), start_token::fork_answer, ipc::poller::trigger::level);
}

void worker_starter::ensure_reaper() {
  const std::lock_guard booting{boot_mutex_};
  if (!reaper_.joinable()) reaper_ = start_thread([this] { reap_until_finished(); });
}

void worker_starter::release(worker_starter* starter) noexcept {
  // In a forked child the reaper does not exist, and the zygote belongs to the parent.
  if (starter->owner_ != ::getpid()) return;
  const bool on_reaper = starter->on_reaper();
  {
    const std::lock_guard lock{starter->mutex_};
    starter->owned_by_reaper_ = on_reaper;
    starter->finishing_ = true;
  }
  if (on_reaper) {
    starter->reaper_.detach();
    return;
  }
  if (starter->reaper_.joinable()) {
    starter->wake_.ring();
    starter->reaper_.join();
  } else {
    starter->end_all();
  }
  delete starter;
}

void worker_starter::require_owner() const {
  if (owner_ == ::getpid()) return;
  throw failed_start{
      "this process was forked from the one that the pool belongs to; make a new pool here", false};
}

std::optional<pid_t> worker_starter::zygote_pid() const {
  const std::lock_guard lock{mutex_};
  std::optional<pid_t> newest;
  for (const auto& [number, zygote] : zygotes_) {
    if (zygote->accepts) newest = zygote->process.pid;
  }
  return newest;
}

/// One of that kind, booted if there is none.
std::shared_ptr<zygote_link> worker_starter::link(const zygote_link::kind& wanted) {
  const std::lock_guard booting{boot_mutex_};
  std::uint64_t number = 0;
  {
    const std::lock_guard lock{mutex_};
    for (const auto& [id, zygote] : zygotes_) {
      if (zygote->accepts && zygote->of == wanted) return zygote;
    }
    number = ++last_id_;
  }
  auto fresh = zygote_link::boot(wanted, number);
  const std::lock_guard lock{mutex_};
  try {
    poller_.add(fresh->socket.fd(), start_token::word_of_zygote(number),
                ipc::poller::trigger::level);
    if (fresh->process.pidfd) {
      poller_.add(fresh->process.pidfd.get(), start_token::exit_of_zygote(number),
                  ipc::poller::trigger::level);
    }
  } catch (const std::system_error&) {
    poller_.remove(fresh->socket.fd());
    end_child(fresh->process);
    throw;
  }
  // What the program was before, it will hardly be again.
  for (const auto& [id, zygote] : zygotes_) {
    zygote_link::kind as_it_was = wanted;
    as_it_was.identity = zygote->of.identity;
    if (zygote->of != as_it_was || !zygote->accepts) continue;
    zygote->accepts = false;
    retire_if_idle(*zygote);
  }
  zygotes_.emplace(number, fresh);
  return fresh;
}

void worker_starter::prepare(const worker_spec& spec, std::span<const std::byte> preload_argument,
                             std::string_view namespaces) {
  require_owner();
  if (spec.method == start_method::fork || zygote_pid()) return;
  static_cast<void>(link(kind_for(spec, preload_argument, process_status{}, namespaces)));
  ensure_reaper();
}

std::uint64_t worker_starter::start(start_order order) {
  require_owner();
  ensure_reaper();
  module_table& modules = module_table::instance();
  start_request request;
  request.spec = order.spec;
  request.entry = modules.locate(reinterpret_cast<const void*>(order.entry));
  request.module = modules.describe(request.entry.module);
  request.argument.assign(order.argument.begin(), order.argument.end());
  if (order.preload != nullptr) {
    preload_order& preload = request.preload.emplace();
    preload.entry = modules.locate(reinterpret_cast<const void*>(order.preload));
    preload.module = modules.describe(preload.entry.module);
    preload.argument.assign(order.preload_argument.begin(), order.preload_argument.end());
  }
  try {
    begin(request, order);
    return request.id;
  } catch (const std::system_error& e) {
    throw failed_start{e.what(), failure_of(0, e).passing};
  }
}

void worker_starter::begin(start_request& request, start_order& order) {
  const bool forks = request.spec.method == start_method::fork;
  const process_status status;
  const auto wanted =
      forks ? zygote_link::kind{}
            : kind_for(request.spec, order.preload_argument, status, order.namespaces);
  std::shared_ptr<zygote_link> zygote;
  if (!forks) zygote = link(wanted);  // if it has to be booted, that goes on beside the rest
  const auto crash = std::make_shared<crash_page>();
  // A fork has all of it.
  surroundings_snapshot here = forks ? surroundings_snapshot{} : take_snapshot(status);
  request.surroundings = std::move(here.values);
  std::vector<int> all_fds{crash->fd()};
  for (const ipc::descriptor& fd : here.descriptors) all_fds.push_back(fd.get());
  all_fds.insert(all_fds.end(), order.fds.begin(), order.fds.end());
  for (bool enlisted = false; !enlisted;) {
    std::unique_lock lock{mutex_};
    // The reaper answers for a lost zygote once, when it notices; a later worker would be forgotten.
    if (!forks && !(zygotes_.contains(zygote->number) && zygote->accepts)) {
      lock.unlock();
      zygote = link(wanted);
      continue;
    }
    request.id = ++last_id_;
    if (forks) fork_orders_.push_back({request, all_fds});  // void without the worker
    workers_.emplace(request.id, worker{.on_start = std::move(order.on_start),
                                        .on_death = std::move(order.on_death),
                                        .crash = crash,
                                        .surroundings = std::move(here.descriptors),
                                        .zygote = zygote,
                                        .process = {}});
    watch_starts();
    enlisted = true;
  }
  // From here on the reaper may answer.
  if (forks) return wake_.ring();
  try {
    // If the zygote is gone, the reaper will notice, and answer.
    zygote->send(request.id, request, all_fds);
  } catch (const std::exception& e) {
    const start_failed failure = failure_of(request.id, e);
    if (start_callback untold; give_up_start(request.id, untold)) {
      throw failed_start{failure.why, failure.passing};
    }
  }
}

/// Under the lock: the reaper may sleep, and nobody wakes it if the zygote does not answer.
void worker_starter::watch_starts() noexcept {
  if (std::exchange(watched_, true)) return;
  watch_.ring_after(tick);
}

/// Takes a worker out that has not started. False if it has, or was taken out before.
bool worker_starter::give_up_start(std::uint64_t id, start_callback& on_start) {
  std::optional<worker> gone;
  {
    const std::lock_guard lock{mutex_};
    const auto found = workers_.find(id);
    if (found == workers_.end() || !found->second.is_starting()) return false;
    gone = std::move(found->second);
    workers_.erase(found);
    if (gone->zygote != nullptr) {
      gone->zygote->forget(id);
      retire_if_idle(*gone->zygote);
    }
  }
  if (gone->process.pidfd) poller_.remove(gone->process.pidfd.get());
  if (gone->process.pid != 0) end_stray(id, gone->process, gone->zygote.get());
  on_start = std::move(gone->on_start);
  return true;
}

/// Nobody waits for that worker.
void worker_starter::end_stray(std::uint64_t id, const process_handle& process,
                               zygote_link* zygote) noexcept {
  if (zygote == nullptr) {
    end_child(process);
  } else if (!process.pidfd || !send_signal(process.pidfd.get(), SIGKILL)) {
    const std::lock_guard lock{mutex_};
    kill_through(*zygote, id, SIGKILL);
  }
}

/// Under the lock. Only the zygote, which reaps the worker, can be sure whose process id that is.
void worker_starter::kill_through(zygote_link& zygote, std::uint64_t id, int signal) noexcept {
  try {
    zygote.send(id, kill_request{id, signal});
    ++zygote.unanswered_kills;
    wake_.ring();
  } catch (const std::exception&) {
    // The zygote is gone, and the worker with it; or memory is short, and who kills does so again.
  }
}

void worker_starter::abandon(std::uint64_t id, std::string why) {
  require_owner();
  const std::lock_guard lock{mutex_};
  const auto found = workers_.find(id);
  if (found == workers_.end() || !found->second.is_starting()) return;
  found->second.abandoned = std::move(why);
  wake_.ring();
}

void worker_starter::kill(std::uint64_t id, int signal) {
  require_owner();
  const std::lock_guard lock{mutex_};
  const auto found = workers_.find(id);
  if (found == workers_.end()) return;
  worker& w = found->second;
  w.was_killed = w.was_killed || signal == SIGKILL;
  if (w.process.pidfd && send_signal(w.process.pidfd.get(), signal)) return;
  if (w.zygote == nullptr) return signal_child(w.process, signal);
  kill_through(*w.zygote, id, signal);
}

}  // namespace cadre::process
