// SPDX-License-Identifier: MIT
#include "process/zygote.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <exception>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "ipc/event.hpp"
#include "process/crash_report.hpp"
#include "process/descendants.hpp"
#include "process/hangup_watch.hpp"
#include "process/module_table.hpp"
#include "process/role.hpp"
#include "process/sandbox.hpp"
#include "process/sentinel.hpp"
#include "process/signal_state.hpp"
#include "process/surroundings.hpp"
#include "process/worker_process.hpp"

namespace cadre::process {
namespace {

using clock = std::chrono::steady_clock;
using milliseconds = std::chrono::milliseconds;

// Where there is no pidfd of the parent: how long workers live at most after it.
constexpr milliseconds look_for_parent{1000};

// A look for what workers left waits until nothing else is to be done, but not longer than this: it may
// take milliseconds, which a start would wait. A longer time lets descendants live longer.
constexpr milliseconds longest_delay{50};

// And it does not begin at once: the kernel expects who has just told of a death to sleep, and may leave
// the parent, which that woke, waiting for this very processor.
constexpr milliseconds shortest_delay{5};

// Between looks while something is left that has been killed; doubled each time, up to the second. A
// shorter one is busy over a process that cannot die, a longer one lags behind one that forks.
constexpr milliseconds first_pause{2};
constexpr milliseconds last_pause{500};

// Between looks whether the program is stopped, as its sentinel is. A shorter one lets workers go on while
// a program still prepares for its stop, a longer one holds them up when somebody stopped the sentinel.
constexpr milliseconds look_for_program{200};

// So often, when the program handles the signal: it may put its terminal in order before it stops itself.
constexpr unsigned looks_for_program = 25;

// At its end, what does not die in this time is left. The parent waits for as long.
constexpr std::chrono::seconds end_limit{2};

constexpr std::array end_signals{SIGTERM, SIGINT, SIGHUP, SIGQUIT};

/// Of the handler, which may run on a thread of a static object: a flag that poll() sees.
constinit const ipc::event* child_has_ended = nullptr;

void on_sigchld(int) {
  const int before = errno;
  if (child_has_ended != nullptr) child_has_ended->ring();
  errno = before;
}

/// What these call in other libraries is looked up at the first call: here once, not in each worker.
void look_up_functions() {
  constexpr std::align_val_t alignment{64};
  ::operator delete(::operator new(1, alignment), alignment);
  static_cast<void>(std::chrono::steady_clock::now());
}

/// Takes less than to list them. Static objects of most programs start none.
bool has_children() noexcept {
  siginfo_t any{};
  const int found = ::waitid(P_ALL, 0, &any, WEXITED | WNOHANG | WNOWAIT | __WALL);
  return found == 0 || errno != ECHILD;
}

class zygote {
 public:
  explicit zygote(ipc::packet_socket control)
      : control_{std::move(control)},
        parent_{executor_of_this_process()},
        parent_fd_{open_pidfd(parent_)} {
    if (::getppid() != parent_) ::_exit(0);
    ::prctl(PR_SET_NAME, "cadre-zygote");
    child_has_ended = &ended_;
    struct sigaction own {};
    own.sa_handler = &on_sigchld;
    own.sa_flags = SA_RESTART;  // also when the sentinel is stopped
    ::sigaction(SIGCHLD, &own, &users_sigchld_);
    ignore_end_signals();
    sigset_t sigchld;
    ::sigemptyset(&sigchld);
    ::sigaddset(&sigchld, SIGCHLD);
    ::sigprocmask(SIG_UNBLOCK, &sigchld, nullptr);
  }

  [[noreturn]] void run() {
    tell(hello{});
    // Whatever static objects of the program have started.
    if (has_children()) spared_ = children_of(::getpid());
    prepare_crash_records();
    look_up_functions();
    flush_output();
    limits_ = present_limits();
    for (bool first = true;; first = false) {
      std::array<pollfd, 3> events{
          {{control_.fd(), POLLIN, 0}, {ended_.fd(), POLLIN, 0}, {parent_fd_.get(), POLLIN, 0}}};
      const int found = ::poll(events.data(), parent_fd_ ? 3 : 2, pause());
      // A copy of the parent's socket in another process must not keep the workers alive.
      if (events[2].revents != 0 || ::getppid() != parent_) end();
      if (events[0].revents != 0) serve();
      if (events[1].revents != 0) {
        ended_.silence();
        reap();
      }
      if (follow_program_at_ && clock::now() >= *follow_program_at_) follow_program();
      if (look_at_ &&
          (found <= 0 ? clock::now() >= *look_at_ : clock::now() >= *look_at_ + longest_delay)) {
        end_descendants();
      }
      // Only now: the first worker need not wait for it.
      if (first) watch_terminal();
    }
  }

 private:
  struct child {
    std::uint64_t id;
    pid_t pid;
    clock::time_point born;
    int stopped_by = 0;  // the terminal, and killed for that
  };

  /// Whoever ends a whole service, or a terminal, means the program, with which this process ends, too.
  void ignore_end_signals() {
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    for (std::size_t i = 0; i < end_signals.size(); ++i) {
      ::sigaction(end_signals[i], &ignore, &users_end_actions_[i]);
    }
  }

  /// In a worker. SIGTERM stays ignored until it is taken, unless static objects have a handler.
  void give_back_end_signals() const {
    for (std::size_t i = 0; i < end_signals.size(); ++i) {
      const bool is_default = users_end_actions_[i].sa_handler == SIG_DFL;
      if (end_signals[i] == SIGTERM && is_default) continue;
      ::sigaction(end_signals[i], &users_end_actions_[i], nullptr);
    }
  }

  /// By a sentinel, in the program's process group.
  void watch_terminal() {
    if (std::exchange(watches_terminal_, true)) return;
    sentinel_ = start_sentinel(parent_);
    if (sentinel_ == 0) return;
    spared_.push_back(sentinel_);
    // The program may have been stopped before there was one.
    follow_program_at_ = clock::now() + look_for_program;
  }

  /// All workers of this zygote are to leave the program's session, as this process does, once.
  void leave_session() {
    if (std::exchange(has_left_session_, true)) return;
    watch_terminal();  // from outside, no process can join the program's group
    begin_session_of_workers();
  }

  int pause() const {
    const auto none = parent_fd_ ? milliseconds{-1} : look_for_parent;
    if (!look_at_ && !follow_program_at_) return static_cast<int>(none.count());
    const auto next = std::min(look_at_.value_or(clock::time_point::max()),
                               follow_program_at_.value_or(clock::time_point::max()));
    const auto left = std::chrono::ceil<milliseconds>(next - clock::now());
    return static_cast<int>(std::clamp(left, milliseconds{0}, look_for_parent).count());
  }

  /// Blocks while the parent does not read, but not for a dead one's sake.
  void tell(const start_message& what, std::span<const int> fds = {}) {
    const auto packet = packet_of(what);
    for (;;) {
      const auto sent = control_.send(packet, fds, ipc::packet_socket::mode::dont_wait);
      if (sent == ipc::packet_socket::outcome::done) return;
      std::array<pollfd, 2> events{{{control_.fd(), POLLOUT, 0}, {parent_fd_.get(), POLLIN, 0}}};
      if (sent == ipc::packet_socket::outcome::would_block) {
        ::poll(events.data(), parent_fd_ ? 2 : 1, static_cast<int>(look_for_parent.count()));
        if (events[1].revents == 0 && ::getppid() == parent_) continue;
      }
      end();
    }
  }

  void serve() {
    std::optional<received_message> received = receive(control_);
    if (!received) end();
    if (auto* const request = std::get_if<start_request>(&received->message)) {
      if (request->preload && !preload(*request->preload)) {
        tell(start_failed{request->id, preload_failure_, false, true});
      } else {
        // A worker need not ask for each.
        auto& limits = request->surroundings.limits;
        if (limits != limits_) raise_process_limit(limits);
        if (limits == limits_) limits.clear();
        start(*request, *received);
      }
    }
    if (const auto* request = std::get_if<kill_request>(&received->message)) {
      // Not reaped yet, so the process id is still the worker's.
      for (const child& c : children_) {
        if (c.id == request->id) signal_with_mark(c.pid, request->signal);
      }
      tell(kill_done{request->id});
    }
  }

  /// It is this process that forks. (What the program has lowered meanwhile is for its workers.)
  void raise_process_limit(const std::vector<std::array<std::uint64_t, 2>>& limits) {
    if (limits.size() <= RLIMIT_NPROC || limits[RLIMIT_NPROC][0] <= limits_[RLIMIT_NPROC][0])
      return;
    const rlimit wanted{limits[RLIMIT_NPROC][0], limits[RLIMIT_NPROC][1]};
    if (::setrlimit(RLIMIT_NPROC, &wanted) == 0) limits_ = present_limits();
  }

  void start(const start_request& request, received_message& received) {
    try {
      if (received.cut_off) {
        throw std::system_error{EMFILE, std::generic_category(), "its descriptors did not arrive"};
      }
      keeps_descendants_ = request.spec.keep_descendants;
      // Before the first fork: the flag is for what is forked later.
      if (!keeps_descendants_) become_subreaper();
      if (request.spec.sandbox.leaves_session()) leave_session();
      // A fork would copy this thread only, and the locks of all others as they are.
      const bool fork = request.spec.method == start_method::zygote && has_one_thread();
      children_.reserve(children_.size() + 1);
      const pid_t pid = fork ? fork_worker(request, received) : execute_worker(request, received);
      children_.push_back({request.id, pid, clock::now()});
      if (stopped_) ::kill(pid, SIGSTOP);  // it was asked for before the program stopped
      hand_over({request.id, pid, !fork});
    } catch (const std::exception& e) {
      tell(failure_of(request.id, e));
    }
  }

  /// Once, what the user wants to be there in all workers. False if it failed, now or before. dies here:
  /// the survivor sees the zygote's end; test
  /// fault.process_preload.that_crashes_fails_the_calls_with_its_name
  bool preload(const preload_order& order) {
    if (std::exchange(has_preloaded_, true)) return preload_failure_.empty();
    const signal_state signals;
    try {
      const hangup_watch program{control_.fd()};
      module_resolver modules;
      modules.learn(0, order.module);
      reinterpret_cast<preload_entry*>(modules.function({0, order.entry.offset}))(order.argument);
      if (!has_one_thread()) {
        preload_failure_ =
            "this program has started a thread, in its preload or in a static object; workers "
            "cannot be "
            "forked beside threads, and without that have no preload: start threads in the "
            "initializer";
      }
    } catch (const std::exception& e) {
      preload_failure_ = failure_of(0, e).why;
    }
    // This process, and its workers, rely on theirs.
    signals.restore();
    limits_ = present_limits();
    flush_output();
    for (const pid_t pid : children_of(::getpid())) {
      if (std::find(spared_.begin(), spared_.end(), pid) != spared_.end()) continue;
      spared_.push_back(pid);
      from_preload_.push_back(pid);
    }
    return preload_failure_.empty();
  }

  /// Tells the parent of the worker, with a pidfd, by which it can be killed even if this process is
  /// stopped. dies here: the survivor sees the zygote's own end, and the worker dies with it; test
  /// fault.process_zygote.stopped_right_after_a_fork_costs_no_start
  void hand_over(const worker_forked& message) {
    try {
      const ipc::descriptor pidfd = open_pidfd(message.pid);
      if (pidfd) return tell(message, std::array{pidfd.get()});
    } catch (const std::system_error&) {
      // No descriptor is left here, or too many are on their way.
    }
    tell(message);
  }

  pid_t fork_worker(const start_request& request, received_message& received) {
    const pid_t here = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) throw fork_failed(errno);
    if (pid > 0) return pid;
    // dies here: the survivor sees worker_ended instead of worker_started; test
    // unit.sandbox.that_kills_the_worker_at_once_is_reported
    ::sigaction(SIGCHLD, &users_sigchld_, nullptr);
    give_back_end_signals();
    child_has_ended = nullptr;
    ended_.close();
    parent_fd_.reset();
    become_worker(request, std::move(received.descriptors), std::move(control_), here);
  }

  pid_t execute_worker(const start_request& request, const received_message& received) {
    adopt_place(request.surroundings, std::span{received.descriptors}.subspan(1));
    auto [boot, theirs] = boot_sockets();
    std::vector<int> fds{control_.fd()};
    for (const ipc::descriptor& fd : received.descriptors) fds.push_back(fd.get());
    if (!send(boot, request, fds)) throw std::system_error{EPIPE, std::generic_category(), "send"};
    return execute_again(role::worker, theirs.fd());
  }

  /// All that has ended: workers, and what came here from below them.
  void reap() {
    for (;;) {
      int status = 0;
      rusage used{};
      const pid_t pid = ::wait4(-1, &status, WNOHANG | WUNTRACED | WCONTINUED, &used);
      if (pid < 0 && errno == EINTR) continue;
      if (pid <= 0) return;
      if (WIFSTOPPED(status) || WIFCONTINUED(status)) {
        if (pid == sentinel_) {
          follow_terminal(status);
        } else if (WIFSTOPPED(status)) {
          end_reader_of_terminal(pid, WSTOPSIG(status));
        }
        continue;
      }
      std::erase(spared_, pid);
      if (pid == sentinel_) sentinel_ = 0;  // somebody killed it
      const auto found = std::find_if(children_.begin(), children_.end(),
                                      [pid](const child& c) { return c.pid == pid; });
      if (found == children_.end()) continue;
      const std::uint64_t id = found->id;
      if (!keeps_descendants_) plan_look(*found);
      child_end how;
      if (WIFSIGNALED(status)) {
        how.signal = found->stopped_by != 0 ? found->stopped_by : WTERMSIG(status);
      }
      children_.erase(found);
      if (WIFEXITED(status)) how.exit_code = WEXITSTATUS(status);
      how.peak_memory = static_cast<std::uint64_t>(used.ru_maxrss) << 10U;
      // dies here: the survivor sees the zygote's own end; test
      // fault.process_start_fault.zygote_killed_is_reported_for_each_worker
      tell(worker_ended{id, pid, how});
    }
  }

  /// For what that worker left, which is younger.
  void plan_look(const child& ended) {
    const auto now = clock::now();
    const bool of_a_moment = now - ended.born < a_moment;
    // Of several, it is not known here which is the oldest.
    const bool first = !look_at_;
    if (first) look_at_ = now + shortest_delay;
    young_since_ = first && of_a_moment ? std::optional{ended.pid} : std::nullopt;
  }

  /// The terminal is the program's. A worker that reads it would be stopped for ever.
  void end_reader_of_terminal(pid_t pid, int signal) {
    if (signal != SIGTTIN && signal != SIGTTOU) return;
    for (child& c : children_) {
      if (c.pid != pid) continue;
      c.stopped_by = signal;
      ::kill(pid, SIGKILL);
    }
  }

  /// The terminal has stopped what is in the program's process group, or it goes on.
  void follow_terminal(int status) {
    if (WIFSTOPPED(status) && !stops(parent_, WSTOPSIG(status))) {
      // The program goes on, or it stops itself when it has handled the signal.
      ::kill(sentinel_, SIGCONT);
      follow_program_at_ = clock::now() + look_for_program;
      looks_left_ = looks_for_program;
      return;
    }
    follow(WIFSTOPPED(status));
  }

  /// Workers stop, or go on. A later look will tell whether the program has: the sentinel may have been
  /// stopped or continued alone; the program may take longer to stop, or be stopped again while the
  /// sentinel is about to be continued here, which leaves no trace of that stop.
  void follow(bool stopped) {
    if (stopped == stopped_) return;
    stopped_ = stopped;
    follow_program_at_ = clock::now() + look_for_program;
    for (const child& c : children_) ::kill(c.pid, stopped ? SIGSTOP : SIGCONT);
  }

  void follow_program() {
    follow_program_at_.reset();
    const bool stopped = is_stopped(parent_);
    if (stopped_ && !stopped && sentinel_ != 0) ::kill(sentinel_, SIGCONT);
    if (looks_left_ != 0) --looks_left_;
    if (stopped) looks_left_ = 0;
    if ((stopped_ && stopped) || looks_left_ != 0) {
      follow_program_at_ = clock::now() + look_for_program;
    }
    follow(stopped);
  }

  /// What a worker started came here when the worker ended, with all that is below. A process that is
  /// killed forks no more, and its children come here: until a look finds none, there is another one.
  void end_descendants() {
    if (!kill_strays()) {
      look_at_.reset();
      young_since_.reset();
      pause_ = first_pause;
      return;
    }
    look_at_ = clock::now() + pause_;
    pause_ = std::min(2 * pause_, last_pause);
  }

  /// True if there was any.
  bool kill_strays() {
    bool any = false;
    for (const pid_t pid : children_of(::getpid(), young_since_)) {
      const bool known = std::any_of(children_.begin(), children_.end(),
                                     [pid](const child& c) { return c.pid == pid; });
      if (known || std::find(spared_.begin(), spared_.end(), pid) != spared_.end()) continue;
      ::kill(pid, SIGKILL);  // nobody else reaps, so it is still ours
      any = true;
    }
    return any;
  }

  /// Takes with it all that is below.
  [[noreturn]] void end() {
    for (const child& c : children_) ::kill(c.pid, SIGKILL);
    if (sentinel_ != 0) ::kill(sentinel_, SIGKILL);
    for (const pid_t pid : from_preload_) std::erase(spared_, pid);
    const auto deadline = clock::now() + end_limit;
    for (;;) {
      int status = 0;
      for (pid_t pid = 1; pid > 0;) {
        pid = ::waitpid(-1, &status, WNOHANG);
        std::erase_if(children_, [pid](const child& c) { return c.pid == pid; });
        std::erase(spared_, pid);
        if (pid == sentinel_) sentinel_ = 0;
      }
      young_since_.reset();
      const bool left = !keeps_descendants_ && kill_strays();
      if ((children_.empty() && sentinel_ == 0 && !left) || clock::now() >= deadline)
        end_process(0);
      pollfd ended{ended_.fd(), POLLIN, 0};
      ::poll(&ended, 1, static_cast<int>(first_pause.count()));
      ended_.silence();
    }
  }

  ipc::packet_socket control_;
  const pid_t parent_;
  ipc::descriptor parent_fd_;
  ipc::event ended_;  // a child has
  struct sigaction users_sigchld_ {};
  std::array<struct sigaction, end_signals.size()> users_end_actions_{};
  bool keeps_descendants_ = false;
  bool watches_terminal_ = false;
  bool has_left_session_ = false;
  bool has_preloaded_ = false;
  std::string preload_failure_;
  std::vector<child> children_;      // workers
  std::vector<pid_t> spared_;        // not ours to end
  std::vector<pid_t> from_preload_;  // until the end
  std::vector<std::array<std::uint64_t, 2>> limits_;
  pid_t sentinel_ = 0;                        // or there is none
  bool stopped_ = false;                      // the workers, as the program is
  std::optional<clock::time_point> look_at_;  // for what workers left
  std::optional<pid_t> young_since_;          // what is looked for is younger than that process
  milliseconds pause_ = first_pause;
  std::optional<clock::time_point> follow_program_at_;  // its workers are stopped with it, it seems
  unsigned looks_left_ = 0;                             // whether it has stopped itself
};

}  // namespace

void run_zygote(ipc::packet_socket control) noexcept { zygote{std::move(control)}.run(); }

}  // namespace cadre::process
