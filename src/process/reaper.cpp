// SPDX-License-Identifier: MIT
// worker_starter: its thread. It hears what zygotes and workers say, sees them end, and counts the time
// for those who owe an answer.
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <exception>
#include <iterator>
#include <mutex>
#include <system_error>
#include <utility>
#include <variant>

#include "process/descendants.hpp"
#include "process/role.hpp"
#include "process/start_limits.hpp"
#include "process/start_token.hpp"
#include "process/worker_starter.hpp"

namespace cadre::process {
namespace {

using clock = std::chrono::steady_clock;

/// What a process said before it died comes first: it will be told again that it is dead.
bool has_word(const ipc::packet_socket& socket) noexcept {
  std::byte first{};
  return ::recv(socket.fd(), &first, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/// Waits for the end of a zygote that was told to end. In several short waits: no time passes while
/// this program is stopped.
bool ends(const process_handle& child) noexcept {
  child_end how;
  for (unsigned ticks = 0; ticks < end_ticks; ++ticks) {
    signal_child(child, SIGCONT);
    if (child.pidfd) {
      pollfd gone{child.pidfd.get(), POLLIN, 0};
      if (::poll(&gone, 1, static_cast<int>(tick.count())) == 1) return true;
      continue;
    }
    for (auto left = tick; left.count() > 0; --left) {
      if (reap_child(child, how)) return true;
      ::poll(nullptr, 0, 1);
    }
  }
  return false;
}

}  // namespace

void worker_starter::reap_until_finished() {
  ::pthread_setname_np(::pthread_self(), "cadre-reaper");
  const auto finishing = [&] {
    const std::lock_guard lock{mutex_};
    return finishing_;
  };
  while (!finishing()) {
    take_events();
    if (!finishing()) tell();
  }
  end_all();
  if (owned_by_reaper_) delete this;
}

// --- events ---

void worker_starter::take_events() {
  std::array<ipc::poller::ready, 32> found{};
  const bool counts = awaits_something();
  next_tick_ = counts ? std::min(next_tick_, clock::now() + tick) : sync::never;
  const std::size_t count = poller_.wait(found, next_tick_);
  for (const auto& event : std::span{found}.first(count)) take_event(event.token);
  if (counts && clock::now() >= next_tick_) pass_tick();
}

void worker_starter::take_event(std::uint64_t token) {
  using start_token::about;
  if (token == start_token::wake) {
    serve_forks();
    return answer_abandoned();
  }
  if (token == start_token::watch) return;  // take_events() begins to count
  if (token == start_token::fork_answer) {
    take_message(fork_answers_.first, nullptr);
    return;
  }
  const std::uint64_t number = start_token::number_in(token);
  if (start_token::about_in(token) == about::exit_of_worker) return see_end_of(number);
  std::shared_ptr<zygote_link> zygote;
  {
    const std::lock_guard lock{mutex_};
    const auto found = zygotes_.find(number);
    if (found == zygotes_.end()) return;
    zygote = found->second;
  }
  if (start_token::about_in(token) == about::word_of_zygote) {
    if (!take_message(zygote->socket, zygote.get())) lose(zygote);
  } else if (!has_word(zygote->socket)) {
    lose(zygote);
  }
}

/// Says its pidfd.
void worker_starter::see_end_of(std::uint64_t id) {
  {
    const std::lock_guard lock{mutex_};
    const auto found = workers_.find(id);
    if (found == workers_.end()) return;
    worker& w = found->second;
    if (w.zygote != nullptr) {
      // Its zygote will say how.
      poller_.remove(w.process.pidfd.get());
      w.has_ended = true;
      w.ticks = 0;
      return;
    }
  }
  if (!has_word(fork_answers_.first)) reap_forked(id);
}

/// False if the other side is gone.
bool worker_starter::take_message(ipc::packet_socket& socket, zygote_link* zygote) {
  std::optional<received_message> received;
  try {
    received = receive(socket);
  } catch (const codec_error&) {
    // By a static object of a worker that is executed; or by a zygote that speaks another language.
    return zygote == nullptr || zygote->is_greeted() || zygote->greet(nullptr);
  } catch (const std::system_error&) {
    return true;  // the kernel had no memory for it: it stays, and the poller tells of it again
  }
  if (!received) return false;
  const start_message& message = received->message;
  if (zygote != nullptr && !zygote->is_greeted()) return hear_hello(*zygote, message);
  if (zygote != nullptr) zygote->has_worked = true;
  const auto* forked = std::get_if<worker_forked>(&message);
  const auto* ended = std::get_if<worker_ended>(&message);
  const auto* killed = std::get_if<kill_done>(&message);
  if (zygote != nullptr && (forked != nullptr || ended != nullptr || killed != nullptr)) {
    // Not by a worker's word: the zygote itself goes on.
    const std::lock_guard lock{mutex_};
    zygote->silent_ticks = 0;
    if (killed != nullptr && zygote->unanswered_kills != 0) --zygote->unanswered_kills;
  }
  if (forked != nullptr) {
    auto& fds = received->descriptors;
    process_handle process{forked->pid, {}};
    if (!fds.empty()) process.pidfd = std::move(fds.front());
    // Else its caller has waited too long.
    if (!acknowledge(forked->id, process, forked->executed)) {
      end_stray(forked->id, process, zygote);
    }
  }
  if (const auto* m = std::get_if<worker_started>(&message)) hear(m->id);
  if (const auto* m = std::get_if<start_failed>(&message)) {
    if (m->zygote_is_useless && zygote != nullptr) {
      const std::lock_guard lock{mutex_};
      zygote->accepts = false;
    }
    answer(m->id, *m);
  }
  if (ended != nullptr) bury(ended->id, ended->how);
  return true;
}

void worker_starter::answer(std::uint64_t id, const start_failed& failure) {
  start_callback on_start;
  if (!give_up_start(id, on_start)) return;
  start_report report{id, 0, failed_start{failure.why, failure.passing}};
  untold_.emplace_back([call = std::move(on_start), told = std::move(report)] { call(told); });
}

/// Under the lock.
void worker_starter::succeed(std::uint64_t id, worker& started) {
  started.ticks = 0;
  started.crash->close_fd();
  started.surroundings.clear();
  untold_.emplace_back(
      [call = std::exchange(started.on_start, start_callback{}), id, pid = started.process.pid] {
        call({id, pid, std::nullopt});
      });
}

/// False if it is of no use.
bool worker_starter::hear_hello(zygote_link& zygote, const start_message& first) {
  const std::lock_guard lock{mutex_};
  zygote.silent_ticks = 0;
  return zygote.greet(&first);
}

/// The process is there. False if nobody waits for it.
bool worker_starter::acknowledge(std::uint64_t id, process_handle& process, bool executed) {
  const std::lock_guard lock{mutex_};
  const auto found = workers_.find(id);
  if (found == workers_.end()) return false;
  worker& w = found->second;
  w.process = std::move(process);
  w.executed = executed;
  try {
    if (w.process.pidfd) {
      poller_.add(w.process.pidfd.get(), start_token::exit_of_worker(id),
                  ipc::poller::trigger::level);
    }
  } catch (const std::system_error&) {
    // It can be killed all the same, and the zygote will tell of its death.
  }
  if (w.has_spoken && w.is_starting()) succeed(id, w);
  return true;
}

/// The worker is about to run its entry.
void worker_starter::hear(std::uint64_t id) {
  const std::lock_guard lock{mutex_};
  const auto found = workers_.find(id);
  if (found == workers_.end()) return;
  worker& w = found->second;
  w.has_spoken = true;
  if (w.process.pid != 0 && w.is_starting()) succeed(id, w);
}

void worker_starter::bury(std::uint64_t id, const child_end& how) {
  {
    const std::lock_guard lock{mutex_};
    const auto found = workers_.find(id);
    if (found == workers_.end()) return;
    worker& w = found->second;
    if (!w.is_starting()) {
      if (w.process.pidfd) poller_.remove(w.process.pidfd.get());
      const pid_t pid = w.process.pid;
      const std::shared_ptr<zygote_link> zygote = w.zygote;
      report_death(std::move(w), {how, id, pid, false, std::nullopt});
      workers_.erase(found);
      if (zygote != nullptr) retire_if_idle(*zygote);
      return;
    }
  }
  const std::string why = refusal_of_role(how.exit_code.value_or(0));
  const bool refused = !why.empty();
  answer(id, {id, refused ? why : "it " + describe(how) + " before it could begin", !refused});
}

/// Under the lock.
void worker_starter::retire_if_idle(zygote_link& zygote) {
  const bool used = std::any_of(workers_.begin(), workers_.end(), [&](const auto& entry) {
    return entry.second.zygote.get() == &zygote;
  });
  // It sees the end of its socket, and ends.
  if (!used && !zygote.accepts) ::shutdown(zygote.socket.fd(), SHUT_RDWR);
}

void worker_starter::lose(const std::shared_ptr<zygote_link>& zygote) {
  poller_.remove(zygote->socket.fd());
  if (zygote->process.pidfd) poller_.remove(zygote->process.pidfd.get());
  const child_end end = end_child(zygote->process);
  std::vector<std::uint64_t> starting;
  {
    const std::lock_guard lock{mutex_};
    zygotes_.erase(zygote->number);
    zygote->accepts = false;
    for (auto each = workers_.begin(); each != workers_.end();) {
      const auto next = std::next(each);
      worker& w = each->second;
      if (w.zygote == zygote) {
        // The kernel has killed it, before anybody can see the zygote's death; unless it has undone
        // that (PR_SET_PDEATHSIG), or runs a set-user-ID program.
        if (w.process.pidfd) poller_.remove(w.process.pidfd.get());
        if (w.process.pidfd) send_signal(w.process.pidfd.get(), SIGKILL);
        if (w.process.pid != 0) {
          orphans_.push_back({w.process.pid, std::move(w.process.pidfd)});
        }
        if (w.is_starting()) {
          starting.push_back(each->first);
        } else {
          const pid_t pid = w.process.pid;
          report_death(std::move(w),
                       {{SIGKILL, std::nullopt, 0}, each->first, pid, true, std::nullopt});
          workers_.erase(each);
        }
      }
      each = next;
    }
  }
  for (const std::uint64_t id : starting) answer(id, zygote->why_lost(id, end));
  reap_orphans();
}

/// Workers of a lost zygote come to this process if it is process 1 of a container, or a subreaper.
/// Nobody else would reap them. Those that went elsewhere are no children of ours, and forgotten.
void worker_starter::reap_orphans() {
  child_end how;
  std::erase_if(orphans_, [&](const process_handle& each) { return reap_child(each, how); });
}

// --- workers that this process forks ---

void worker_starter::serve_forks() {
  std::vector<fork_order> orders;
  {
    const std::lock_guard lock{mutex_};
    orders.swap(fork_orders_);
  }
  for (const fork_order& order : orders) fork_worker(order);
}

void worker_starter::fork_worker(const fork_order& order) {
  const std::uint64_t id = order.request.id;
  std::vector<std::shared_ptr<zygote_link>> zygotes;
  {
    const std::lock_guard lock{mutex_};
    if (!workers_.contains(id)) return;  // its caller waits no longer
    for (const auto& [number, zygote] : zygotes_) zygotes.push_back(zygote);
  }
  const pid_t pid = ::fork();
  if (pid == 0) {
    forget_copied_output();
    for (const auto& zygote : zygotes) zygote->socket.close();
    fork_answers_.first.close();
    std::vector<ipc::descriptor> fds;
    fds.reserve(order.fds.size());
    for (const int fd : order.fds) fds.emplace_back(fd);
    become_worker(order.request, std::move(fds), std::move(fork_answers_.second), owner_);
  }
  if (pid < 0) {
    return answer(id, failure_of(id, fork_failed(errno)));
  }
  process_handle process{pid, {}};
  try {
    process.pidfd = open_pidfd(pid);
    if (!acknowledge(id, process, false)) end_child(process);
  } catch (const std::system_error& e) {
    end_child(process);
    answer(id, failure_of(id, e));
  }
}

void worker_starter::answer_abandoned() {
  std::vector<start_failed> failures;
  {
    const std::lock_guard lock{mutex_};
    for (const auto& [id, w] : workers_) {
      if (w.is_starting() && !w.abandoned.empty()) failures.push_back({id, w.abandoned, false});
    }
  }
  for (const start_failed& each : failures) answer(each.id, each);
  const std::lock_guard lock{mutex_};
  for (const auto& [number, zygote] : zygotes_) {
    const bool awaited = std::any_of(workers_.begin(), workers_.end(), [&](const auto& entry) {
      return entry.second.zygote == zygote;
    });
    if (awaited || failures.empty() || !zygote->preloads()) continue;
    zygote->accepts = false;
    signal_child(zygote->process, SIGKILL);  // its end will be seen
  }
}

void worker_starter::reap_forked(std::uint64_t id) {
  process_handle process;
  {
    const std::lock_guard lock{mutex_};
    const auto found = workers_.find(id);
    if (found == workers_.end()) return;
    process = {found->second.process.pid, std::move(found->second.process.pidfd)};
  }
  bury(id, end_child(process));
}

// --- time ---

bool worker_starter::awaits_something() {
  const std::lock_guard lock{mutex_};
  const auto awaited = [](const auto& entry) {
    const worker& w = entry.second;
    return w.is_starting() || w.has_ended || (w.zygote == nullptr && !w.process.pidfd);
  };
  const auto owes = [](const auto& entry) { return entry.second->unanswered_kills != 0; };
  watched_ = !orphans_.empty() || std::any_of(workers_.begin(), workers_.end(), awaited) ||
             std::any_of(zygotes_.begin(), zygotes_.end(), owes);
  return watched_;
}

void worker_starter::pass_tick() {
  next_tick_ = clock::now() + tick;
  reap_orphans();
  std::vector<std::uint64_t> late;
  std::vector<std::uint64_t> ended;
  std::vector<std::uint64_t> forked;
  std::vector<std::shared_ptr<zygote_link>> wedged;
  {
    const std::lock_guard lock{mutex_};
    for (auto& [number, zygote] : zygotes_) {
      const bool owes = std::any_of(workers_.begin(), workers_.end(), [&](const auto& entry) {
        const worker& w = entry.second;
        return w.zygote == zygote && (w.has_ended || (w.is_starting() && w.process.pid == 0));
      });
      const bool unsent = zygote->flush();
      if ((!owes && !unsent && zygote->unanswered_kills == 0) || zygote->preloads()) {
        zygote->silent_ticks = 0;
      } else if (const bool boots = !zygote->is_greeted();
                 ++zygote->silent_ticks >= (boots ? start_ticks : patience_ticks)) {
        zygote->was_late = boots;
        wedged.push_back(zygote);
      } else if (zygote->silent_ticks >= nudge_ticks) {
        signal_child(zygote->process, SIGCONT);
      }
    }
    for (auto& [id, w] : workers_) {
      if (w.zygote == nullptr && !w.process.pidfd && w.process.pid != 0) forked.push_back(id);
      watch_worker(id, w, late, ended);
    }
  }
  for (const std::uint64_t id : late) {
    answer(id, {id, "it did not begin in time: somebody has stopped it, or it waits for something",
                true});
  }
  for (const std::uint64_t id : ended) bury_untold(id);
  for (const std::uint64_t id : forked) look_at_forked(id);
  for (const auto& zygote : wedged) give_up(zygote);
}

/// Under the lock.
void worker_starter::watch_worker(std::uint64_t id, worker& w, std::vector<std::uint64_t>& late,
                                  std::vector<std::uint64_t>& ended) {
  if (w.has_ended) {
    if (++w.ticks >= untold_ticks) ended.push_back(id);
    return;
  }
  if (!w.is_starting()) return;
  // The time begins anew when the process is there: until then the zygote is watched.
  if (w.process.pid == 0 && w.zygote != nullptr) return;
  const bool initialises = w.executed;
  if (++w.ticks >= (initialises ? start_ticks : first_word_ticks)) {
    late.push_back(id);
  } else if (w.ticks >= nudge_ticks && w.process.pidfd) {
    send_signal(w.process.pidfd.get(), SIGCONT);
  }
}

/// It has ended, and its zygote does not say how.
void worker_starter::bury_untold(std::uint64_t id) {
  child_end how;
  {
    const std::lock_guard lock{mutex_};
    const auto found = workers_.find(id);
    if (found == workers_.end()) return;
    if (found->second.was_killed) how.signal = SIGKILL;
  }
  bury(id, how);
}

/// Where there is no pidfd, nobody tells of the end of a child: it is asked for.
void worker_starter::look_at_forked(std::uint64_t id) {
  child_end how;
  {
    const std::lock_guard lock{mutex_};
    const auto found = workers_.find(id);
    if (found == workers_.end() || !reap_child(found->second.process, how)) return;
    found->second.process.pid = 0;  // anybody's, from now on
  }
  bury(id, how);
}

/// It owes us an answer and is silent. Whatever holds it, it goes, and what is below it.
void worker_starter::give_up(const std::shared_ptr<zygote_link>& zygote) {
  std::vector<int> workers;
  {
    const std::lock_guard lock{mutex_};
    if (!zygotes_.contains(zygote->number)) return;
    // Only this thread takes workers of a zygote out, so the descriptors stay open.
    for (const auto& [id, w] : workers_) {
      if (w.zygote == zygote && w.process.pidfd) workers.push_back(w.process.pidfd.get());
    }
  }
  end_with_descendants(zygote->process, workers, zygote->of.keeps_descendants);
  lose(zygote);
}

// --- the end ---

void worker_starter::report_death(worker&& dead, const death_report& how) {
  untold_.emplace_back([gone = std::move(dead), how] {
    death_report report = how;
    report.crash = gone.crash->read();
    const bool unknown = report.signal == 0 && !report.exit_code;
    if (unknown && report.crash) report.signal = report.crash->signal;
    gone.on_death(report);
  });
}

void worker_starter::tell() {
  // A callback may start another worker.
  while (!untold_.empty()) {
    for (const auto& call : std::exchange(untold_, {})) call();
  }
}

void worker_starter::end_all() noexcept {
  for (const auto& [id, each] : workers_) {
    if (each.process.pidfd) send_signal(each.process.pidfd.get(), SIGKILL);
  }
  // A process that the user forked may hold a copy of it.
  for (const auto& [number, zygote] : zygotes_) {
    ::shutdown(zygote->socket.fd(), SHUT_RDWR);
    if (zygote->preloads()) signal_child(zygote->process, SIGKILL);  // it does not look at that
  }
  for (const auto& [number, zygote] : zygotes_) {
    if (!ends(zygote->process)) {
      end_with_descendants(zygote->process, {}, zygote->of.keeps_descendants);
    }
    end_child(zygote->process);
  }
  for (const auto& [id, each] : workers_) {
    if (each.zygote == nullptr && each.process.pid != 0) end_child(each.process);
  }
  for (const process_handle& orphan : orphans_) end_child(orphan);
}

}  // namespace cadre::process
