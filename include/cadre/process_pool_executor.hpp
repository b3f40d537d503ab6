// SPDX-License-Identifier: MIT
// process_pool_executor: calls in worker processes. A call that crashes, leaks, hangs or corrupts
// memory costs that one call.
//
//     cadre::process_pool_executor pool;
//     auto page = pool.submit(&parse_untrusted, path);
//     try { use(page.get()); }
//     catch (const cadre::worker_died& e) { log(e.what()); }  // pid, signal, name of the call
//
// What crosses  Functions, captureless lambdas, aggregate functors, cadre::bind; arguments and results
//            as codec.hpp says. See docs/guides/what-crosses.md.
// Workers    Processes start on demand, one per call while none is idle, up to max_workers. They are
//            copies of this program in which all static objects are initialised and main() has not
//            begun. One that dies is replaced. A worker may have a pool of its own, up to 8 deep. A
//            static object may submit in this process; in the copies its calls fail.
// Death      The call that the worker was running fails with worker_died, or is run again as often as
//            its `retries` allow; calls that it had not begun run elsewhere.
//            A worker that is not born, or dies before its first call, costs no call: it is replaced, after
//            pauses that grow. When that fails for some seconds, or three times in a row in its
//            initializer, the calls that wait fail with broken_executor and the last reason.
// Threads    Done callbacks, functions given to then() and codecs run on threads of the pool that are there
//            for them, or, for the call that it waits for, on the waiter's: with the signal mask of the thread
//            that made the pool. They may block, and wait for calls of this pool; time limits hold meanwhile.
//            They are bounded: from 64 on that block elsewhere than in cadre, others wait for them.
// States     A future is running() when a worker has begun its call. cancel() works until then.
// Stopping   future::request_stop() reaches the std::stop_token of the call in its worker; a call that
//            does not return within its grace period is killed, and fails with worker_died.
// Descendants of a worker, whatever calls have started and wherever it went (setsid, double fork), are
//            killed when the worker ends: after a crash, a time limit, with the pool, and with this
//            program, however that ends; those of a call that returns live as long as its worker, which
//            max_calls_per_worker = 1 ends behind each call. Orphans among them come to the worker, as children of which it
//            knows nothing (it is a subreaper, see prctl(2)). Not covered: workers of
//            start_method::fork; what is left when somebody kills the zygote, the process from which
//            workers are forked (SIGTERM it ignores), or stops or traces it when this program ends; a program that
//            gained rights by set-user-ID; and one that forks on and on faster than it can be killed. A
//            copy of a worker that a call makes by fork() ends where the call returns in it.
// Ends       A worker with nothing more to do ends as a program does: after the finalizer, static objects are
//            destroyed and functions of atexit() run; not with start_method::fork, where they are copies
//            of this program's. By a SIGTERM of others, as when a whole service is stopped, it finishes
//            its call first, runs no finalizer, and is replaced when it is needed; a handler that a call
//            installs wins. The pool's own SIGTERM, at time limits and by terminate_workers(), ends it at
//            once. A worker has a process group of its own: what a call does by kill(0, ...) stays with
//            it. Who reads the terminal, which is this program's, is killed, and told by SIGTTIN. Ctrl-C
//            reaches this process only; Ctrl-Z stops the workers with it, and the clocks of time limits
//            run on. With start_method::fork Ctrl-Z stops no worker, and who reads the terminal is stopped.
// Lifetime   The destructor is shutdown({.wait = true}), which waits for calls and callbacks, but not for
//            workers that do not end: see end_grace. Workers do not outlive this process, however it
//            ends, but while somebody stops or traces their zygote. In a child of fork() every use throws
//            broken_executor.
// Errors     The constructor: std::invalid_argument for impossible options, and what it throws to encode
//            the initializer and the finalizer. A call that cannot be encoded fails its future with
//            codec_error. broken_executor when workers cannot be started or initialised. A pool that
//            has no memory for its own bookkeeping ends the program, by std::terminate; so does the C
//            library, for a thread that has none for its first thread_local object.
// Strangers  A worker has the rights of this process unless `worker.sandbox` takes them: against hostile
//            input see docs/guides/untrusted-input.md, and SECURITY.md for what is promised.
// Cost       About a microsecond per call while workers are awake; 0.5 ms per worker started, 2 ms for
//            the first. Arguments and results are copied. See benchmarks/RESULTS.md.
// Source     Python's concurrent.futures.ProcessPoolExecutor.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/unique_function.hpp>
#include <cadre/executor.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace cadre {

enum class start_method : std::uint8_t {
  zygote,  ///< forked from a fresh copy of this program: 0.5 ms
  exec,    ///< executed anew, static objects are initialised for each worker: 2 ms
  /// Forked from this process as it is. A lock that another thread holds at that moment stays locked
  /// in the worker for ever. Large read-only data is shared for free.
  fork,
};

enum class on_worker_death : std::uint8_t {
  replace_worker,  ///< the call fails, the pool goes on
  break_pool,      ///< as Python's: that call and all others fail with broken_executor
};

/// A call without arguments that workers make: a function, a captureless lambda, an aggregate functor,
/// cadre::bind. Empty by default.
class worker_function {
 public:
  worker_function() = default;
  template <typename Function>
    requires(!std::is_same_v<std::remove_cvref_t<Function>, worker_function>)
  worker_function(Function&& function)  // NOLINT(google-explicit-constructor): as std::function
      : descriptor_{describe<std::decay_t<Function>>()},
        encode_{[f = std::decay_t<Function>(std::forward<Function>(function))](encoder& out) {
          detail::encode_callable(out, f);
        }} {}

  explicit operator bool() const noexcept { return descriptor_ != nullptr; }
  const detail::call_descriptor* descriptor() const noexcept { return descriptor_; }
  void encode(encoder& out) { encode_(out); }

 private:
  template <typename Function>
  static const detail::call_descriptor* describe() {
    static_assert(
        detail::is_callable<Function>,
        "cadre: an initializer, finalizer or preload is called without arguments; give it "
        "those that it takes: cadre::bind(function, arguments...)");
    detail::check_portable<Function>();
    return &detail::remote_side<void, detail::bound<Function>, false>::descriptor;
  }

  const detail::call_descriptor* descriptor_ = nullptr;
  detail::unique_function<void(encoder&)> encode_;
};

/// What a worker cannot take back, however hostile its calls are. It is applied before the initializer
/// runs; static objects were initialised before. See docs/guides/untrusted-input.md for what each holds.
enum class sandbox : std::uint8_t {
  none,        ///< a worker has the rights of this process
  files_only,  ///< as `restrict_files`
  /// For what strangers sent: calls may compute, allocate, throw and start threads. They cannot make a
  /// process or a socket, signal or look into another process, map code, or open other files than
  /// those of `readable_paths` and `writable_paths`. A system call that is in no list ends the worker,
  /// and worker_died names it. All single options below are on, but for what namespaces and limits of
  /// threads need and the kernel has not. x86-64 and aarch64. Not with start_method::fork. Cost: some
  /// milliseconds per worker, of which most is its network namespace.
  strict,
};

/// Which protections a worker may start without, on a kernel or in a container that lacks them.
enum class sandbox_gaps : std::uint8_t {
  none,   ///< none of those that are asked for
  minor,  ///< of `strict`, those that repeat what others hold: namespaces; Landlock's rules for TCP,
          ///< for signals, and for files if no path is listed
  any,    ///< all of them; missing_protections() tells which
};

/// What each worker is given. Nothing set: as this process, at the moment when the worker starts:
///
/// - working directory, also a deleted one; environment, also without variables that were removed;
///   umask; all resource limits. `environ` is read by a thread of the pool, as fork() and exec() read
///   it: a setenv() in another thread meanwhile is the program's race.
/// - signals that the program ignores are ignored (SIGTERM but for the pool's own); others have their
///   default action, and none is blocked. SIGTTOU is ignored.
/// - real, effective and saved user and group, supplementary groups, capabilities, root directory,
///   namespaces and filters of system calls: if they have changed since the last worker started, the
///   next one costs 2 ms once. Workers that live keep what they have: end them (kill_workers) when rights
///   are given up. While the effective user or group is not the real one, no worker starts
///   (broken_executor), but by start_method::fork.
/// - CPU affinity, scheduling policy, priority and nice value are those of the thread that made the pool,
///   when it did. Without CAP_SYS_NICE, workers are not less nice than the thread that submitted first.
///
/// Relative paths are relative to this process's working directory at that moment.
struct worker_settings {
  std::vector<std::pair<std::string, std::string>> environment = {};  ///< on top of this process's
  std::vector<std::string> unset_environment = {};  ///< names of variables that a worker has not
  std::string working_directory = {};
  std::optional<int> nice = {};
  std::optional<int> oom_score_adj = {};            ///< above 0: the kernel kills workers first
  std::vector<int> affinity = {};                   ///< CPU numbers; worker i runs on number i
  std::optional<std::uint64_t> address_space = {};  ///< bytes; more is std::bad_alloc
  std::optional<std::uint64_t> cpu_seconds = {};    ///< of a worker's life; more is SIGXCPU
  std::optional<std::uint64_t> open_files = {};
  cadre::sandbox sandbox = cadre::sandbox::none;
  cadre::sandbox_gaps sandbox_gaps = cadre::sandbox_gaps::minor;
  // The single options, each of which can be had alone. From no_capabilities on they imply
  // no_new_privileges.
  bool no_new_privileges = false;
  bool new_session = false;  ///< setsid: no terminal; one session for the workers of a program
  std::optional<std::uint64_t> core_size = {};  ///< bytes of a core file; 0: none, in no way
  std::optional<std::uint64_t> file_size = {};  ///< bytes of a file or a shared_buffer; then EFBIG
  std::optional<std::uint64_t> locked_memory = {};  ///< bytes
  /// Bytes that a worker may allocate beyond what it has at its start, in all; more is std::bad_alloc.
  /// Unlike the max_memory of a call, no call can lift it.
  std::optional<std::uint64_t> private_memory = {};
  /// Processes and threads of the user, or of the worker if it has `own_namespaces`. The kernel does
  /// not hold root to it. strict: 64 in a namespace of its own.
  std::optional<std::uint64_t> processes = {};
  bool no_capabilities = false;  ///< root is then a user that owns root's files
  bool own_namespaces = false;   ///< user, network (an empty one) and IPC; getuid() is 65534 there
  bool isolate_signals = false;  ///< signals and abstract sockets reach nobody outside; Linux 6.12
  bool no_network = false;       ///< socket(2) fails with EPERM, for all families
  bool no_child_processes = false;             ///< fork and exec fail with EPERM; threads start
  std::vector<int> denied_system_calls = {};   ///< fail with EPERM
  std::vector<int> allowed_system_calls = {};  ///< of strict: more than its own list
  /// Lets the worker open no files but those below these paths, and use those that are open already
  /// (Landlock, Linux 5.13; without it no worker starts). Readable must be what calls still load:
  /// shared libraries of plug-ins, files that a decoder needs.
  bool restrict_files = false;
  std::vector<std::string> readable_paths = {};  ///< files and directories; must exist
  std::vector<std::string> writable_paths = {};  ///< and readable
  /// What calls start, by fork() or a shell, goes on when their worker ends, as it would in any program:
  /// for calls that start a daemon. By default it is killed; see "Descendants" above.
  bool keep_descendants = false;
};

struct process_pool_options {
  std::optional<int> max_workers = {};  ///< > 0; none: usable_cpus()
  std::string name = {};                ///< for messages; none: process-pool-<n>
  cadre::start_method start_method = cadre::start_method::zygote;
  worker_function initializer =
      {};                          ///< runs first in each worker; if it throws, the pool is broken
  worker_function finalizer = {};  ///< runs last in each worker that ends in good order
  /// Runs once, before the first worker is forked, in the process from which all are (the zygote): what it
  /// loads into static objects is in each worker, and its memory shared until it is written to. It has the
  /// rights, environment and directory of this program at that moment, whatever `worker` says. It must
  /// start no thread; a process that it starts lives until the last pool of this program has ended; what it
  /// does to signals ends with it.
  /// If it throws, crashes or starts a thread, the calls that wait fail with broken_executor, and later
  /// ones try again. Pools with the same function and arguments share it, also one after the other while
  /// any pool lives; it runs again when the rights of this program have changed. start_method::zygote only.
  worker_function preload = {};
  /// A worker whose initializer takes longer is killed, by SIGKILL, and replaced as one that dies in it.
  /// So is the zygote with a preload that takes longer; then the calls that wait fail.
  std::chrono::nanoseconds initializer_timeout = std::chrono::nanoseconds::max();
  /// A worker that had nothing to do for so long ends.
  std::chrono::nanoseconds idle_timeout = std::chrono::nanoseconds::max();
  /// A worker that is to end, and has no call left, is given so long for its finalizer and its context
  /// object. Then it gets SIGTERM, and after as long again SIGKILL. Meanwhile another one may have
  /// taken its place.
  std::chrono::nanoseconds end_grace = std::chrono::seconds{5};
  std::optional<std::size_t> max_calls_per_worker = {};  ///< > 0; then it is replaced
  std::size_t max_resident =
      0;  ///< bytes; a worker larger than this after a call is replaced; 0: none
  std::optional<std::size_t> max_pending = {};  ///< > 0, running ones too; none: no bound
  /// > 0; none: no bound. Of the encoded arguments of calls that are pending or running, each with some 90 bytes
  /// about it; of a shared_span, its number only. Exceeded by one call, which may be a chunk of a map, for each
  /// thread that submits at that moment, and by those of timers.
  std::optional<std::size_t> max_pending_bytes = std::size_t{256} << 20;
  cadre::when_full when_full = cadre::when_full::block;  ///< caller_runs is not possible
  /// Bytes of one call, of one result, and of the new shared memory that a result brings along.
  std::size_t max_message = std::size_t{1} << 30;
  cadre::on_worker_death on_worker_death = cadre::on_worker_death::replace_worker;
  /// `max_workers` workers start with the pool, whether there are calls or not; the constructor does not
  /// wait for them. Of a static pool, in this process only.
  bool prestart = false;
  worker_settings worker = {};
};

class CADRE_API process_pool_executor final : public executor {
 public:
  explicit process_pool_executor(process_pool_options options = {});
  /// As many workers as `max_workers`.
  explicit process_pool_executor(int max_workers);
  ~process_pool_executor() override;

  /// Ends all workers at once, by SIGTERM or SIGKILL; running calls fail with worker_died, pending ones
  /// are cancelled. The pool is shut down. Does not block. Source: Python 3.14.
  void terminate_workers();
  void kill_workers();

  /// The process ids of the workers that live.
  std::vector<int> worker_pids() const;

 private:
  class impl;

  void do_enqueue(detail::state_base& call, const submit_options& options) override;
  shutdown_report do_shutdown(const shutdown_options& options) override;
  executor_stats do_stats() const override;
  unsigned do_max_workers() const noexcept override;
  bool do_runs_elsewhere() const noexcept override { return true; }

  std::shared_ptr<impl> impl_;
};

/// In a worker: the protections of its sandbox that it could not be given, a sentence each; see
/// worker_settings::sandbox_gaps. Ask it with pool.submit(&cadre::missing_protections).get().
CADRE_API std::vector<std::string> missing_protections();

}  // namespace cadre
