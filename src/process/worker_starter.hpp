// SPDX-License-Identifier: MIT
// worker_starter: starts worker processes, kills them, and tells of their deaths. One per process, for
// all pools.
//
//     auto starter = worker_starter::acquire();
//     auto worker = starter->start({}, &entry, argument, fds, [](const death_report& d) { ... });
//     starter->kill(worker.id, SIGKILL);
//
// Life       The first start boots a zygote (1 to 2 ms); a thread, "cadre-reaper", waits for deaths.
//            Both end with the last handle, and with them every worker that is left, unreported. A
//            forked child has no use of its parent's starter: start() throws there, the end of the
//            handle does nothing, and acquire() makes another one.
// Threads    All functions may be called at any time, also on the reaper, by a callback.
// Deaths     Each start that succeeded is followed by one call of its callback, on the reaper, with
//            no lock held. Callbacks are called one after the other and must not block for long:
//            later deaths, and starts, wait for them. They must not throw.
// User       The zygote is a child of this process. A SIGCHLD handler is called at its end. A loop of
//            wait() sees it, too, and may reap it; with blocking waits the loop does not end before the
//            last pool did. Workers are the zygote's children and disturb neither. (Those of
//            start_method::fork are children of this process.)
// Errors     cadre::broken_executor: a worker cannot be started; the message says why.
#pragma once

#include <signal.h>
#include <sys/types.h>
#include <cadre/detail/unique_function.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ipc/event.hpp"
#include "ipc/packet_socket.hpp"
#include "ipc/poller.hpp"
#include "process/child.hpp"
#include "process/crash_report.hpp"
#include "process/start_message.hpp"
#include "process/worker_process.hpp"
#include "sync/mutex.hpp"
#include "sync/parker.hpp"

namespace cadre::process {

/// How a worker ended.
struct death_report : child_end {
  std::uint64_t id = 0;
  pid_t pid = 0;
  bool zygote_lost = false;         // the zygote died, and took the worker with it
  std::optional<crash_info> crash;  // what the worker recorded
};

using death_callback = detail::unique_function<void(const death_report&)>;

struct started_worker {
  std::uint64_t id = 0;  // never used again by this process
  pid_t pid = 0;
};

class worker_starter {
 public:
  /// The process's starter, made if there is none.
  static std::shared_ptr<worker_starter> acquire();

  /// Returns when the worker has applied its spec and is about to run `entry`. At most
  /// packet_socket::max_descriptors - 2; the worker gets copies. Throws cadre::broken_executor.
  /// Cost: 0.2 ms; with start_method::exec, 2 ms.
  started_worker start(const worker_spec& spec, worker_entry* entry,
                       std::span<const std::byte> argument, std::span<const int> fds,
                       death_callback on_death);

  /// Does nothing if that worker has died. Never hits another process that got its process id.
  void kill(std::uint64_t id, int signal);

  /// Of the present zygote; none if it was not needed yet.
  std::optional<pid_t> zygote_pid() const;

 private:
  /// A zygote, and our end of its socket.
  struct zygote_link {
    pid_t pid;
    ipc::descriptor exited;  // pidfd
    ipc::packet_socket socket;
  };

  /// A caller of start() that waits, on its stack.
  struct waiting_start {
    sync::parker answered;
    bool done = false;  // for start() on the reaper, which does not park
    pid_t pid = 0;
    std::string failure;       // empty: it started
    bool zygote_lost = false;  // so worth another try
    death_callback on_death;   // given back by a failure
  };

  struct worker {
    death_callback on_death;
    std::shared_ptr<crash_page> crash;
    waiting_start* starting;              // until it has started
    std::shared_ptr<zygote_link> zygote;  // none: to be forked from this process, and then
    ipc::descriptor exited;               // its pidfd
    pid_t pid;
  };

  struct fork_order {
    start_request request;
    std::vector<int> fds;
  };

  struct death {
    worker dead;
    death_report report;
  };

  worker_starter();
  ~worker_starter() = default;
  static void release(worker_starter* starter) noexcept;

  std::shared_ptr<zygote_link> link();
  static std::shared_ptr<zygote_link> boot();
  bool try_start(start_request& request, std::span<const int> fds, waiting_start& caller);
  void await(std::uint64_t id, waiting_start& caller);
  void answer(std::uint64_t id, pid_t pid, std::string failure, bool zygote_lost = false);
  bool on_reaper() const noexcept { return std::this_thread::get_id() == reaper_.get_id(); }
  void require_owner() const;

  void reap_until_finished();
  void take_events(sync::time_point deadline);
  bool take_message(ipc::packet_socket& socket);
  void lose(const std::shared_ptr<zygote_link>& zygote);
  void bury(std::uint64_t id, pid_t pid, const child_end& how);
  void serve_forks();
  void fork_worker(const fork_order& order);
  void reap_forked(std::uint64_t id);
  void tell_deaths();
  void end_all() noexcept;

  const pid_t owner_;
  ipc::event wake_;  // fork_orders_ or finishing_ changed
  // Ours, and that of workers that this process forks.
  std::pair<ipc::packet_socket, ipc::packet_socket> fork_answers_;
  ipc::poller poller_;      // the reaper's
  sync::mutex boot_mutex_;  // held while a zygote boots; taken before mutex_

  mutable sync::mutex mutex_;  // guards what follows
  std::shared_ptr<zygote_link> zygote_;
  std::map<std::uint64_t, worker> workers_;
  std::vector<fork_order> fork_orders_;
  std::uint64_t last_id_ = 0;
  bool finishing_ = false;
  bool owned_by_reaper_ = false;  // the last handle ended in a callback

  std::vector<death> deaths_;  // of the reaper: to be told
  std::thread reaper_;
};

}  // namespace cadre::process
