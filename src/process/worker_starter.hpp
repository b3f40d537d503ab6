// SPDX-License-Identifier: MIT
// worker_starter: starts worker processes, kills them, and tells of their deaths. One per process, for
// all pools.
//
//     auto starter = worker_starter::acquire();
//     starter->start({.spec = spec, .entry = &entry, .argument = bytes, .fds = fds,
//                     .on_start = [](const start_report& s) { ... s.id ... },
//                     .on_death = [](const death_report& d) { ... }});
//     starter->kill(id, SIGKILL);
//
// Life       The first start boots a zygote (some milliseconds); a thread, "cadre-reaper", waits for deaths.
//            Both end with the last handle, and with them every worker that is left, unreported. A
//            forked child has no use of its parent's starter: start() throws there, the end of the
//            handle does nothing, and acquire() makes another one.
// Zygotes    One serves all pools, but for what a zygote cannot change (zygote_link::kind): when the
//            program has become somebody else, new workers come from a new zygote, and the old one
//            ends with its last worker.
// Threads    All functions may be called at any time, also on the reaper, by a callback. kill() never
//            blocks: it may be called under a lock.
// Callbacks  Each start that did not throw is followed by one call of on_start, and if the worker is
//            there, by one of on_death, on the reaper, with no lock held. They are called one after the
//            other and must not block for long: later deaths, and starts, wait for them. They must not
//            throw.
// Trust      A zygote does what it is told, but anybody of this user may stop or wedge it. So workers
//            are killed and their deaths seen by pidfds of our own, and a zygote that owes an answer
//            and is silent (start_limits.hpp) is ended with all that is below it, told as lost, and
//            replaced by the next start.
// User       The zygote is a child of this process. A SIGCHLD handler is called at its end. A loop of
//            wait() sees it, too, and may reap it; with blocking waits the loop does not end before the
//            last pool did. Workers are the zygote's children and disturb neither. (Those of
//            start_method::fork are children of this process.)
// Descendants of a worker end with it: its zygote ends them. What a worker of start_method::fork leaves
//            comes to the parent of this program, and stays.
// Errors     cadre::broken_executor: a worker cannot be started; the message says why.
#pragma once

#include <signal.h>
#include <sys/types.h>
#include <cadre/detail/unique_function.hpp>
#include <cadre/errors.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "ipc/alarm.hpp"
#include "ipc/event.hpp"
#include "ipc/packet_socket.hpp"
#include "ipc/poller.hpp"
#include "process/child.hpp"
#include "process/crash_report.hpp"
#include "process/start_message.hpp"
#include "process/worker_process.hpp"
#include "process/zygote_link.hpp"
#include "sync/mutex.hpp"

namespace cadre::process {

/// How a worker ended.
struct death_report : child_end {  // neither signal nor exit code: the zygote did not say
  std::uint64_t id = 0;
  pid_t pid = 0;
  bool zygote_lost = false;         // the zygote died, and took the worker with it
  std::optional<crash_info> crash;  // what the worker recorded
};

using death_callback = detail::unique_function<void(const death_report&)>;

/// Why a worker was not started. The message is a sentence for the user.
class failed_start final : public broken_executor {
 public:
  failed_start(const std::string& why, bool may_pass)
      : broken_executor{"cadre could not start a worker process: " + why}, passing{may_pass} {}

  /// The next attempt may succeed: the worker or the zygote died before the first word, or memory,
  /// processes or descriptors were short. False: it will fail in the same way.
  const bool passing;
};

/// How a start ended: the worker has applied its spec and is about to run its entry, or it failed. It may
/// have run for a moment all the same, so another start needs other descriptors.
struct start_report {
  std::uint64_t id = 0;  // never used again by this process
  pid_t pid = 0;
  std::optional<failed_start> failure;
};

using start_callback = detail::unique_function<void(const start_report&)>;

/// A worker that is to be started.
struct start_order {
  const worker_spec& spec;
  worker_entry* entry;
  std::span<const std::byte> argument;
  /// At most packet_socket::max_descriptors - 4; the worker gets copies. They stay open until on_start.
  std::span<const int> fds;
  start_callback on_start;
  death_callback on_death;
  /// Its zygote runs it once, with that argument, before it forks a worker. Not empty, if there is one.
  preload_entry* preload = nullptr;
  std::span<const std::byte> preload_argument = {};
  /// Of the calling thread: workers that are to be in others need another zygote.
  std::string_view namespaces = {};
};

class worker_starter {
 public:
  /// The process's starter, made if there is none.
  static std::shared_ptr<worker_starter> acquire();

  /// Boots the zygote for such a worker, if there is none of any kind: it loads the program while the
  /// caller makes what start() needs. Blocks for 0.3 ms. Throws what start() throws.
  void prepare(const worker_spec& spec, std::span<const std::byte> preload_argument,
               std::string_view namespaces);

  /// Begins to start it, and returns its number. Throws failed_start and what execute_again() throws: then
  /// no callback is called. Blocks for 1 ms if a zygote is to be booted. Cost of a start until on_start:
  /// 0.5 ms; with start_method::exec, 2 ms.
  std::uint64_t start(start_order order);

  /// Nobody wants that worker any more, if it has not started yet: its start fails soon, with that reason.
  /// A zygote whose preload nobody else waits for is killed. Never blocks.
  void abandon(std::uint64_t id, std::string why);

  /// Does nothing if that worker has died. Never hits another process that got its process id. Never
  /// blocks.
  void kill(std::uint64_t id, int signal);

  /// Of the present zygote; none if it was not needed yet.
  std::optional<pid_t> zygote_pid() const;

 private:
  /// A start is over when both have come: the process, from who forked it, and the worker's own word.
  struct worker {
    bool is_starting() const noexcept { return static_cast<bool>(on_start); }

    start_callback on_start;  // until it has started
    death_callback on_death;
    std::shared_ptr<crash_page> crash;
    std::vector<ipc::descriptor> surroundings;  // that it is sent: until it has started
    std::shared_ptr<zygote_link> zygote;        // none: to be forked from this process
    process_handle process;                     // none: not forked yet
    bool executed = false;
    bool has_spoken = false;
    bool has_ended = false;  // says its pidfd
    bool was_killed = false;
    std::string abandoned{};  // why; empty: it is wanted
    unsigned ticks = 0;       // since the start began; since has_ended
  };

  struct fork_order {
    start_request request;
    std::vector<int> fds;
  };

  worker_starter();
  void ensure_reaper();
  ~worker_starter() = default;
  static void release(worker_starter* starter) noexcept;

  void begin(start_request& request, start_order& order);
  std::shared_ptr<zygote_link> link(const zygote_link::kind& wanted);
  void retire_if_idle(zygote_link& zygote);
  void watch_starts() noexcept;
  bool give_up_start(std::uint64_t id, start_callback& on_start);
  void end_stray(std::uint64_t id, const process_handle& process, zygote_link* zygote) noexcept;
  void kill_through(zygote_link& zygote, std::uint64_t id, int signal) noexcept;
  bool on_reaper() const noexcept { return std::this_thread::get_id() == reaper_.get_id(); }
  void require_owner() const;

  // reaper.cpp
  void reap_until_finished();
  void take_events();
  void take_event(std::uint64_t token);
  bool take_message(ipc::packet_socket& socket, zygote_link* zygote);
  void see_end_of(std::uint64_t id);
  void answer(std::uint64_t id, const start_failed& failure);
  void succeed(std::uint64_t id, worker& started);
  void report_death(worker&& dead, const death_report& how);
  bool hear_hello(zygote_link& zygote, const start_message& first);
  bool acknowledge(std::uint64_t id, process_handle& process, bool executed);
  void hear(std::uint64_t id);
  void bury(std::uint64_t id, const child_end& how);
  void lose(const std::shared_ptr<zygote_link>& zygote);
  void serve_forks();
  void answer_abandoned();
  void fork_worker(const fork_order& order);
  void reap_forked(std::uint64_t id);
  void look_at_forked(std::uint64_t id);
  void reap_orphans();
  bool awaits_something();
  void pass_tick();
  void watch_worker(std::uint64_t id, worker& each, std::vector<std::uint64_t>& late,
                    std::vector<std::uint64_t>& ended);
  void bury_untold(std::uint64_t id);
  void give_up(const std::shared_ptr<zygote_link>& zygote);
  void tell();
  void end_all() noexcept;

  const pid_t owner_;
  ipc::event
      wake_;  // fork_orders_, finishing_, unanswered_kills of a zygote, or a worker is abandoned
  ipc::alarm watch_;  // somebody may owe an answer to a start
  // Ours, and that of workers that this process forks.
  std::pair<ipc::packet_socket, ipc::packet_socket> fork_answers_;
  ipc::poller poller_;  // the reaper's
  sync::mutex
      boot_mutex_;  // held while a zygote is executed or the reaper made; taken before mutex_

  mutable sync::mutex mutex_;  // guards what follows; nothing blocks while it is held
  std::map<std::uint64_t, std::shared_ptr<zygote_link>> zygotes_;
  std::map<std::uint64_t, worker> workers_;
  std::vector<fork_order> fork_orders_;
  std::uint64_t last_id_ = 0;  // of zygotes and workers
  bool watched_ = false;       // the reaper counts the time, or watch_ will wake it for that
  bool finishing_ = false;
  bool owned_by_reaper_ = false;  // the last handle ended in a callback

  // Of the reaper.
  std::vector<detail::unique_function<void()>> untold_;  // calls of callbacks
  std::vector<process_handle> orphans_;  // workers of a lost zygote that came to this process
  std::chrono::steady_clock::time_point next_tick_{};
  std::thread reaper_;  // from the first boot or start on
};

}  // namespace cadre::process
