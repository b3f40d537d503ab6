// SPDX-License-Identifier: MIT
#include "process/worker_starter.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cadre/errors.hpp>

#include <chrono>
#include <cstring>
#include <exception>
#include <iterator>
#include <mutex>
#include <system_error>
#include <utility>

#include "process/child.hpp"
#include "process/role.hpp"
#include "process/zygote.hpp"

namespace cadre::process {
namespace {

// Static objects of the program are initialised within it. A shorter limit fails on machines that
// are slow; a longer one lets a program wait that runs its main() twice.
constexpr std::chrono::seconds start_limit{30};

// The zygote ends its workers within this time, or is ended.
constexpr int end_limit_ms = 5000;

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

std::string how_it_ended(int signal, std::optional<int> exit_code) {
  if (signal != 0) {
    const char* const name = ::sigabbrev_np(signal);
    return "it was ended by SIG" + (name == nullptr ? std::to_string(signal) : name);
  }
  if (!exit_code) return "it ended";
  return "it exited with code " + std::to_string(*exit_code);
}

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

worker_starter::worker_starter()
    : owner_{::getpid()},
      wake_{own_fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")},
      fork_answers_{make_socket_pair()} {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    reaper_ = std::thread{[this] { reap_until_finished(); }};
  } catch (...) {
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
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
  starter->wake();
  starter->reaper_.join();
  delete starter;
}

void worker_starter::require_owner() const {
  if (owner_ == ::getpid()) return;
  refuse("this process was forked from the one that the pool belongs to; make a new pool here");
}

void worker_starter::wake() const noexcept {
  const std::uint64_t one = 1;
  // It can fail only if the reaper was woken already.
  static_cast<void>(!::write(wake_.get(), &one, sizeof one));
}

std::optional<pid_t> worker_starter::zygote_pid() const {
  const std::lock_guard lock{mutex_};
  return zygote_ == nullptr ? std::nullopt : std::optional{zygote_->pid};
}

std::shared_ptr<worker_starter::zygote_link> worker_starter::boot() {
  socket_pair sockets = make_socket_pair();
  const pid_t pid = execute_again(role::zygote, sockets.theirs.get());
  sockets.theirs.close();
  auto zygote = std::make_shared<zygote_link>(
      pid, own_fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)), "pidfd_open"),
      std::move(sockets.ours));

  pollfd hello{zygote->socket.get(), POLLIN, 0};
  const auto limit = std::chrono::milliseconds{start_limit};
  int ready = 0;
  do {
    ready = ::poll(&hello, 1, static_cast<int>(limit.count()));
  } while (ready < 0 && errno == EINTR);
  const std::optional<packet> received =
      ready == 1 ? receive_packet(zygote->socket.get()) : std::nullopt;
  if (received) {
    packet_reader from{received->bytes};
    const auto kind = static_cast<message>(from.number());
    if (kind == message::hello && from.number() == start_protocol) return zygote;
  }
  const child_end end = end_child(zygote->exited.get());
  if (received) refuse("the zygote has loaded another version of cadre than this program");
  if (ready == 0) {
    refuse("the zygote (this program, executed again) did not answer within " +
           std::to_string(start_limit.count()) +
           " s; do its static objects wait for something when they are initialised?");
  }
  refuse("the zygote (this program, executed again) ended before it was ready: " +
         how_it_ended(end.signal, end.exit_code) +
         ". Is the program started in the usual way, not through ld.so or an emulator, and do its "
         "static objects initialise without its standard input?");
}

std::shared_ptr<worker_starter::zygote_link> worker_starter::link() {
  const std::lock_guard booting{boot_mutex_};
  {
    const std::lock_guard lock{mutex_};
    if (zygote_ != nullptr) return zygote_;
  }
  auto fresh = boot();
  {
    const std::lock_guard lock{mutex_};
    zygote_ = fresh;
  }
  wake();
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
  packet_writer order;
  for (bool enlisted = false; !enlisted;) {
    if (!forks) zygote = link();
    const std::lock_guard lock{mutex_};
    // The reaper answers for a lost zygote once, when it notices; a later worker would be forgotten.
    if (!forks && zygote != zygote_) continue;
    request.id = ++last_id_;
    order.number(static_cast<std::uint64_t>(message::start));
    write(order, request);
    if (forks) fork_orders_.push_back({request, all_fds});  // void without the worker
    workers_.emplace(request.id,
                     worker{std::move(caller.on_death), crash, &caller, zygote, unique_fd{}, 0});
    enlisted = true;
  }
  // From here on the reaper knows the caller, who must wait for its answer.
  try {
    if (forks) {
      wake();
    } else {
      // If the zygote is gone, the reaper will notice, and answer.
      send_packet(zygote->socket.get(), order.bytes(), all_fds);
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
    constexpr int turn_ms = 1000;
    while (!caller.done && std::chrono::steady_clock::now() < deadline) take_events(turn_ms);
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
  unique_fd forked;
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
  if (forked) end_child(forked.get());
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
    send_packet(zygote->socket.get(), packet_writer{}
                                          .number(static_cast<std::uint64_t>(message::kill))
                                          .number(id)
                                          .number(static_cast<std::uint64_t>(signal))
                                          .bytes());
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
    take_events(-1);
    tell_deaths();
  }
  end_all();
  if (owned_by_reaper_) delete this;
}

void worker_starter::take_events(int timeout_ms) {
  std::shared_ptr<zygote_link> zygote;
  std::vector<pollfd> events{{wake_.get(), POLLIN, 0},
                             {fork_answers_.ours.get(), POLLIN, 0},
                             {-1, POLLIN, 0},
                             {-1, POLLIN, 0}};
  std::vector<std::uint64_t> forked;
  {
    const std::lock_guard lock{mutex_};
    if (finishing_) return;
    zygote = zygote_;
    for (const auto& [id, each] : workers_) {
      if (!each.exited) continue;
      events.push_back({each.exited.get(), POLLIN, 0});
      forked.push_back(id);
    }
  }
  if (zygote != nullptr) {
    events[2].fd = zygote->socket.get();
    events[3].fd = zygote->exited.get();
  }
  if (::poll(events.data(), events.size(), timeout_ms) <= 0) return;
  if (events[0].revents != 0) {
    std::uint64_t count = 0;
    static_cast<void>(!::read(wake_.get(), &count, sizeof count));
    serve_forks();
  }
  // What it said before it died comes first: another process may hold a copy of its socket.
  if ((events[1].revents & POLLIN) != 0) {
    take_message(fork_answers_.ours.get());
    return;
  }
  if ((events[2].revents & POLLIN) != 0) {
    if (!take_message(zygote->socket.get())) lose(zygote);
  } else if (events[2].revents != 0 || events[3].revents != 0) {
    lose(zygote);
  }
  for (std::size_t i = 0; i < forked.size(); ++i) {
    if (events[4 + i].revents != 0) reap_forked(forked[i]);
  }
}

bool worker_starter::take_message(int socket) {
  const std::optional<packet> received = receive_packet(socket);
  if (!received) return false;
  packet_reader from{received->bytes};
  const auto kind = static_cast<message>(from.number());
  const std::uint64_t id = from.number();
  if (kind == message::started) answer(id, static_cast<pid_t>(from.number()), {});
  if (kind == message::failed) answer(id, 0, from.text());
  if (kind == message::died) {
    death_report report{.id = id, .pid = static_cast<pid_t>(from.number())};
    report.signal = static_cast<int>(from.number());
    const int exit_code = static_cast<int>(from.number());
    if (report.signal == 0) report.exit_code = exit_code;
    report.peak_memory = from.number();
    bury(report);
  }
  return true;
}

void worker_starter::bury(const death_report& report) {
  {
    const std::lock_guard lock{mutex_};
    const auto found = workers_.find(report.id);
    if (found == workers_.end()) return;
    if (found->second.starting == nullptr) {
      deaths_.push_back({std::move(found->second), report});
      workers_.erase(found);
      return;
    }
  }
  answer(report.id, 0, how_it_ended(report.signal, report.exit_code) + " before it could begin");
}

void worker_starter::lose(const std::shared_ptr<zygote_link>& zygote) {
  // Its death kills its workers, before anybody can see it.
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
        death_report report;
        report.id = each->first;
        report.pid = each->second.pid;
        report.signal = SIGKILL;
        report.zygote_lost = true;
        deaths_.push_back({std::move(each->second), std::move(report)});
        workers_.erase(each);
      }
      each = next;
    }
  }
  for (const std::uint64_t id : starting) {
    answer(id, 0, "the zygote died: " + how_it_ended(end.signal, end.exit_code), true);
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
    fork_answers_.ours.close();
    wake_.close();
    std::vector<unique_fd> fds;
    fds.reserve(order.fds.size());
    for (const int fd : order.fds) fds.emplace_back(fd);
    become_worker(order.request, std::move(fds), std::move(fork_answers_.theirs), owner_);
  }
  if (pid < 0) return answer(order.request.id, 0, std::generic_category().message(errno));
  try {
    unique_fd exited = own_fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)), "pidfd_open");
    const std::lock_guard lock{mutex_};
    const auto found = workers_.find(order.request.id);
    if (found == workers_.end()) {
      end_child(exited.get());  // its caller waits no longer
    } else {
      found->second.exited = std::move(exited);
    }
  } catch (const std::system_error& e) {
    ::kill(pid, SIGKILL);
    answer(order.request.id, 0, e.what());
  }
}

void worker_starter::reap_forked(std::uint64_t id) {
  death_report report{.id = id};
  unique_fd exited;
  {
    const std::lock_guard lock{mutex_};
    const auto found = workers_.find(id);
    if (found == workers_.end()) return;
    exited = std::move(found->second.exited);
    report.pid = found->second.pid;
  }
  const child_end end = end_child(exited.get());
  report.signal = end.signal;
  report.exit_code = end.exit_code;
  report.peak_memory = end.peak_memory;
  bury(report);
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
    ::shutdown(zygote_->socket.get(), SHUT_RDWR);
    pollfd gone{zygote_->exited.get(), POLLIN, 0};
    ::poll(&gone, 1, end_limit_ms);
    end_child(zygote_->exited.get());
  }
  for (const auto& [id, each] : workers_) {
    if (each.exited) end_child(each.exited.get());
  }
}

}  // namespace cadre::process
