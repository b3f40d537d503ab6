// SPDX-License-Identifier: MIT
#include "process/worker_starter.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cadre/errors.hpp>

#include <array>
#include <chrono>
#include <exception>
#include <iterator>
#include <mutex>
#include <system_error>
#include <utility>

#include "base/signals.hpp"
#include "process/role.hpp"
#include "process/zygote.hpp"

namespace cadre::process {
namespace {

// Static objects of the program are initialised within it. A shorter limit fails on machines that
// are slow; a longer one lets a program wait that runs its main() twice.
constexpr std::chrono::seconds start_limit{30};

// The zygote ends its workers within this time, or is ended.
constexpr int end_limit_ms = 5000;

// What the poller tells of; workers that this process forked have their own numbers, from 1.
constexpr std::uint64_t wake_token = 0;
constexpr std::uint64_t fork_answer_token = UINT64_MAX;
constexpr std::uint64_t zygote_message_token = UINT64_MAX - 1;
constexpr std::uint64_t zygote_exit_token = UINT64_MAX - 2;

/// Outlives static destruction, when a pool may still end.
union registry {
  constexpr registry() : current{} {}
  ~registry() {}
  std::weak_ptr<worker_starter> current;
};
constinit sync::mutex registry_mutex;
constinit registry the_registry;

[[maybe_unused]] const int registered =
    ::pthread_atfork([] { registry_mutex.lock(); }, [] { registry_mutex.unlock(); },
                     [] { registry_mutex.unlock(); });

[[noreturn]] void refuse(const std::string& why) {
  throw broken_executor{"cadre could not start a worker process: " + why};
}

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
  poller_.add(wake_.fd(), wake_token, ipc::poller::trigger::edge);
  poller_.add(fork_answers_.first.fd(), fork_answer_token, ipc::poller::trigger::level);
  const signals_blocked here;
  reaper_ = std::thread{[this] { reap_until_finished(); }};
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
  starter->wake_.ring();
  starter->reaper_.join();
  delete starter;
}

void worker_starter::require_owner() const {
  if (owner_ == ::getpid()) return;
  refuse("this process was forked from the one that the pool belongs to; make a new pool here");
}

std::optional<pid_t> worker_starter::zygote_pid() const {
  const std::lock_guard lock{mutex_};
  return zygote_ == nullptr ? std::nullopt : std::optional{zygote_->pid};
}

std::shared_ptr<worker_starter::zygote_link> worker_starter::boot() {
  auto [ours, theirs] = ipc::packet_socket::pair();
  const pid_t pid = execute_again(role::zygote, theirs.fd());
  theirs.close();
  auto zygote = std::make_shared<zygote_link>(pid, open_pidfd(pid), std::move(ours));

  ipc::poller poller;
  poller.add(zygote->socket.fd(), 0, ipc::poller::trigger::level);
  std::array<ipc::poller::ready, 1> found{};
  const bool in_time = poller.wait(found, std::chrono::steady_clock::now() + start_limit) != 0;
  bool answered = false;
  try {
    const auto received = in_time ? receive(zygote->socket) : std::nullopt;
    answered = received.has_value();
    const auto* said = answered ? std::get_if<hello>(&received->message) : nullptr;
    if (said != nullptr && said->protocol == start_protocol) return zygote;
  } catch (const codec_error&) {
    answered = true;
  }
  const child_end end = end_child(zygote->exited.get());
  if (answered) refuse("the zygote has loaded another version of cadre than this program");
  if (!in_time) {
    refuse("the zygote (this program, executed again) did not answer within " +
           std::to_string(start_limit.count()) +
           " s; do its static objects wait for something when they are initialised?");
  }
  refuse("the zygote (this program, executed again) " + describe(end) +
         " before it was ready. Is the program started in the usual way, not through ld.so or an "
         "emulator, and do its static objects initialise without its standard input?");
}

std::shared_ptr<worker_starter::zygote_link> worker_starter::link() {
  const std::lock_guard booting{boot_mutex_};
  {
    const std::lock_guard lock{mutex_};
    if (zygote_ != nullptr) return zygote_;
  }
  auto fresh = boot();
  // Under the lock: what the poller tells is of zygote_.
  const std::lock_guard lock{mutex_};
  poller_.add(fresh->exited.get(), zygote_exit_token, ipc::poller::trigger::level);
  poller_.add(fresh->socket.fd(), zygote_message_token, ipc::poller::trigger::level);
  zygote_ = fresh;
  return fresh;
}

started_worker worker_starter::start(const worker_spec& spec, worker_entry* entry,
                                     std::span<const std::byte> argument, std::span<const int> fds,
                                     death_callback on_death) {
  require_owner();
  module_table& modules = module_table::instance();
  start_request request;
  request.spec = spec;
  request.entry = modules.locate(reinterpret_cast<const void*>(entry));
  request.module = modules.describe(request.entry.module);
  request.argument.assign(argument.begin(), argument.end());
  try {
    for (int attempt = 0;; ++attempt) {
      waiting_start caller;
      caller.on_death = std::move(on_death);
      if (try_start(request, fds, caller)) return {request.id, caller.pid};
      // Somebody killed the zygote. If he does so again, he means it.
      if (!caller.zygote_lost || attempt == 1) refuse(caller.failure);
      on_death = std::move(caller.on_death);
    }
  } catch (const std::system_error& e) {
    refuse(e.what());
  }
}

bool worker_starter::try_start(start_request& request, std::span<const int> fds,
                               waiting_start& caller) {
  const bool forks = request.spec.method == start_method::fork;
  const auto crash = std::make_shared<crash_page>();
  std::vector<int> all_fds{crash->fd()};
  all_fds.insert(all_fds.end(), fds.begin(), fds.end());
  std::shared_ptr<zygote_link> zygote;
  for (bool enlisted = false; !enlisted;) {
    if (!forks) zygote = link();
    const std::lock_guard lock{mutex_};
    // The reaper answers for a lost zygote once, when it notices; a later worker would be forgotten.
    if (!forks && zygote != zygote_) continue;
    request.id = ++last_id_;
    if (forks) fork_orders_.push_back({request, all_fds});  // void without the worker
    workers_.emplace(request.id, worker{std::move(caller.on_death), crash, &caller, zygote, {}, 0});
    enlisted = true;
  }
  // From here on the reaper knows the caller, who must wait for its answer.
  try {
    if (forks) {
      wake_.ring();
    } else {
      // If the zygote is gone, the reaper will notice, and answer.
      send(zygote->socket, request, all_fds);
    }
  } catch (const std::system_error& e) {
    answer(request.id, 0, e.what());
  }
  await(request.id, caller);
  crash->close_fd();
  return caller.failure.empty();
}

void worker_starter::await(std::uint64_t id, waiting_start& caller) {
  const auto deadline = std::chrono::steady_clock::now() + start_limit;
  bool in_time = true;
  if (on_reaper()) {
    while (!caller.done && std::chrono::steady_clock::now() < deadline) take_events(deadline);
    in_time = caller.done;
  } else {
    in_time = caller.answered.park(deadline);
  }
  if (in_time) return;
  kill(id, SIGKILL);
  answer(id, 0, "it did not begin within " + std::to_string(start_limit.count()) + " s");
  if (!on_reaper()) caller.answered.park();
}

void worker_starter::answer(std::uint64_t id, pid_t pid, std::string failure, bool zygote_lost) {
  waiting_start* caller = nullptr;
  ipc::descriptor forked;
  {
    const std::lock_guard lock{mutex_};
    const auto found = workers_.find(id);
    if (found == workers_.end()) return;
    caller = std::exchange(found->second.starting, nullptr);
    if (caller == nullptr) return;
    found->second.pid = pid;
    caller->done = true;
    caller->pid = pid;
    caller->failure = std::move(failure);
    caller->zygote_lost = zygote_lost;
    if (!caller->failure.empty()) {
      caller->on_death = std::move(found->second.on_death);
      forked = std::move(found->second.exited);
      workers_.erase(found);
    }
  }
  if (forked) {
    poller_.remove(forked.get());
    end_child(forked.get());
  }
  caller->answered.unpark();
}

void worker_starter::kill(std::uint64_t id, int signal) {
  require_owner();
  std::shared_ptr<zygote_link> zygote;
  {
    const std::lock_guard lock{mutex_};
    const auto found = workers_.find(id);
    if (found == workers_.end()) return;
    zygote = found->second.zygote;
    if (found->second.exited) send_signal(found->second.exited.get(), signal);
  }
  if (zygote == nullptr) return;
  try {
    send(zygote->socket, kill_request{id, signal});
  } catch (const std::system_error&) {
    // The zygote is gone, and the worker with it.
  }
}

void worker_starter::reap_until_finished() {
  ::pthread_setname_np(::pthread_self(), "cadre-reaper");
  const auto finishing = [&] {
    const std::lock_guard lock{mutex_};
    return finishing_;
  };
  while (!finishing()) {
    take_events(sync::never);
    tell_deaths();
  }
  end_all();
  if (owned_by_reaper_) delete this;
}

void worker_starter::take_events(sync::time_point deadline) {
  std::array<ipc::poller::ready, 32> found{};
  const std::size_t count = poller_.wait(found, deadline);
  std::shared_ptr<zygote_link> zygote;
  {
    const std::lock_guard lock{mutex_};
    if (finishing_) return;
    zygote = zygote_;
  }
  bool answered = false;
  bool spoke = false;
  bool exited = false;
  std::vector<std::uint64_t> forked;
  for (const auto& [token, hung_up] : std::span{found}.first(count)) {
    switch (token) {
      case wake_token:
        serve_forks();
        break;
      case fork_answer_token:
        answered = true;
        break;
      case zygote_message_token:
        spoke = true;
        break;
      case zygote_exit_token:
        exited = true;
        break;
      default:
        forked.push_back(token);
    }
  }
  // What a process said before it died comes first: it will be told again that it is dead.
  if (answered) {
    take_message(fork_answers_.first);
    return;
  }
  if (zygote != nullptr && (spoke ? !take_message(zygote->socket) : exited)) lose(zygote);
  for (const std::uint64_t id : forked) reap_forked(id);
}

bool worker_starter::take_message(ipc::packet_socket& socket) {
  const std::optional<received_message> received = receive(socket);
  if (!received) return false;
  if (const auto* m = std::get_if<worker_started>(&received->message)) answer(m->id, m->pid, {});
  if (const auto* m = std::get_if<start_failed>(&received->message)) answer(m->id, 0, m->why);
  if (const auto* m = std::get_if<worker_ended>(&received->message)) bury(m->id, m->pid, m->how);
  return true;
}

void worker_starter::bury(std::uint64_t id, pid_t pid, const child_end& how) {
  {
    const std::lock_guard lock{mutex_};
    const auto found = workers_.find(id);
    if (found == workers_.end()) return;
    if (found->second.starting == nullptr) {
      deaths_.push_back({std::move(found->second), {how, id, pid, false, std::nullopt}});
      workers_.erase(found);
      return;
    }
  }
  answer(id, 0, "it " + describe(how) + " before it could begin");
}

void worker_starter::lose(const std::shared_ptr<zygote_link>& zygote) {
  // Its death kills its workers, before anybody can see it.
  poller_.remove(zygote->socket.fd());
  poller_.remove(zygote->exited.get());
  const child_end end = end_child(zygote->exited.get());
  std::vector<std::uint64_t> starting;
  {
    const std::lock_guard lock{mutex_};
    zygote_ = nullptr;
    for (auto each = workers_.begin(); each != workers_.end();) {
      const auto next = std::next(each);
      if (each->second.zygote == zygote && each->second.starting != nullptr) {
        starting.push_back(each->first);
      } else if (each->second.zygote == zygote) {
        const pid_t pid = each->second.pid;
        deaths_.push_back({std::move(each->second),
                           {{SIGKILL, std::nullopt, 0}, each->first, pid, true, std::nullopt}});
        workers_.erase(each);
      }
      each = next;
    }
  }
  for (const std::uint64_t id : starting) {
    answer(id, 0, "the zygote " + describe(end), true);
  }
}

void worker_starter::serve_forks() {
  std::vector<fork_order> orders;
  {
    const std::lock_guard lock{mutex_};
    orders.swap(fork_orders_);
  }
  for (const fork_order& order : orders) fork_worker(order);
}

void worker_starter::fork_worker(const fork_order& order) {
  std::shared_ptr<zygote_link> zygote;
  {
    const std::lock_guard lock{mutex_};
    if (!workers_.contains(order.request.id)) return;  // its caller waits no longer
    zygote = zygote_;
  }
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::setpgid(0, 0);
    forget_copied_output();
    if (zygote != nullptr) zygote->socket.close();
    fork_answers_.first.close();
    std::vector<ipc::descriptor> fds;
    fds.reserve(order.fds.size());
    for (const int fd : order.fds) fds.emplace_back(fd);
    become_worker(order.request, std::move(fds), std::move(fork_answers_.second), owner_);
  }
  if (pid < 0) return answer(order.request.id, 0, std::generic_category().message(errno));
  try {
    ipc::descriptor exited = open_pidfd(pid);
    const std::lock_guard lock{mutex_};
    const auto found = workers_.find(order.request.id);
    if (found == workers_.end()) {
      end_child(exited.get());  // its caller waits no longer
    } else {
      poller_.add(exited.get(), order.request.id, ipc::poller::trigger::level);
      found->second.exited = std::move(exited);
    }
  } catch (const std::system_error& e) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    answer(order.request.id, 0, e.what());
  }
}

void worker_starter::reap_forked(std::uint64_t id) {
  ipc::descriptor exited;
  pid_t pid = 0;
  {
    const std::lock_guard lock{mutex_};
    const auto found = workers_.find(id);
    if (found == workers_.end()) return;
    exited = std::move(found->second.exited);
    pid = found->second.pid;
  }
  poller_.remove(exited.get());
  bury(id, pid, end_child(exited.get()));
}

void worker_starter::tell_deaths() {
  // A callback may start another worker, whose start may see more deaths.
  while (!deaths_.empty()) {
    std::vector<death> told;
    told.swap(deaths_);
    for (death& each : told) {
      each.report.crash = each.dead.crash->read();
      each.dead.on_death(each.report);
    }
  }
}

void worker_starter::end_all() noexcept {
  if (zygote_ != nullptr) {
    // A process that the user forked may hold a copy of it.
    ::shutdown(zygote_->socket.fd(), SHUT_RDWR);
    pollfd gone{zygote_->exited.get(), POLLIN, 0};
    ::poll(&gone, 1, end_limit_ms);
    end_child(zygote_->exited.get());
  }
  for (const auto& [id, each] : workers_) {
    if (each.exited) end_child(each.exited.get());
  }
}

}  // namespace cadre::process
