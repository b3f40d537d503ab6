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
// States     A future is running() when a worker has begun its call. cancel() works until then.
// Stopping   future::request_stop() reaches the std::stop_token of the call in its worker; a call that
//            does not return within its grace period is killed, and fails with worker_died.
// Lifetime   The destructor is shutdown({.wait = true}). Workers do not outlive this process, however it
//            ends. In a child of fork() every use throws broken_executor.
// Errors     The constructor: std::invalid_argument for impossible options, and what it throws to encode
//            the initializer and the finalizer. A call that cannot be encoded fails its future with
//            codec_error. broken_executor when workers cannot be started or initialised. A pool that
//            has no memory for its own bookkeeping ends the program, by std::terminate.
// Cost       About a microsecond per call while workers are awake; 0.2 ms per worker started, 2 ms for
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
  zygote,  ///< forked from a fresh copy of this program: 0.2 ms
  exec,    ///< executed anew, static objects are initialised for each worker: 2 ms
  /// Forked from this process as it is. A lock that another thread holds at that moment stays locked
  /// in the worker for ever. Large read-only data is shared for free.
  fork,
};

enum class on_worker_death : std::uint8_t {
  replace_worker,  ///< the call fails, the pool goes on
  break_pool,      ///< as Python's: all other calls fail with broken_executor
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
    detail::check_portable<Function>();
    return &detail::remote_side<void, detail::bound<Function>, false>::descriptor;
  }

  const detail::call_descriptor* descriptor_ = nullptr;
  detail::unique_function<void(encoder&)> encode_;
};

/// What each worker is given. Nothing set: as this process.
struct worker_settings {
  std::vector<std::pair<std::string, std::string>> environment = {};  ///< on top of this process's
  std::string working_directory = {};
  std::optional<int> nice = {};
  std::optional<int> oom_score_adj = {};            ///< above 0: the kernel kills workers first
  std::vector<int> affinity = {};                   ///< CPU numbers; worker i runs on number i
  std::optional<std::uint64_t> address_space = {};  ///< bytes; more is std::bad_alloc
  std::optional<std::uint64_t> cpu_seconds = {};    ///< of a worker's life; more is SIGXCPU
  std::optional<std::uint64_t> open_files = {};
  bool no_new_privileges = false;
  std::vector<int> denied_system_calls = {};  ///< fail with EPERM; implies no_new_privileges
  /// Lets the worker open no files but those below these paths, and use those that are open already
  /// (Landlock, Linux 5.13; without it no worker starts). Readable must be what calls still load:
  /// shared libraries of plug-ins, and /proc for max_memory, max_resident and backtraces. Implies
  /// no_new_privileges.
  bool restrict_files = false;
  std::vector<std::string> readable_paths = {};  ///< files and directories; must exist
  std::vector<std::string> writable_paths = {};  ///< and readable
};

struct process_pool_options {
  std::optional<int> max_workers = {};  ///< > 0; none: usable_cpus()
  std::string name = {};                ///< for messages; none: process-pool-<n>
  cadre::start_method start_method = cadre::start_method::zygote;
  worker_function initializer =
      {};                          ///< runs first in each worker; if it throws, the pool is broken
  worker_function finalizer = {};  ///< runs last in each worker that ends in good order
  /// A worker that had nothing to do for so long ends.
  std::chrono::nanoseconds idle_timeout = std::chrono::nanoseconds::max();
  std::optional<std::size_t> max_calls_per_worker = {};  ///< > 0; then it is replaced
  std::size_t max_resident =
      0;  ///< bytes; a worker larger than this after a call is replaced; 0: none
  std::optional<std::size_t> max_pending = {};           ///< > 0; none: no bound
  cadre::when_full when_full = cadre::when_full::block;  ///< caller_runs is not possible
  std::size_t max_message = std::size_t{1} << 30;        ///< bytes of one call, and of one result
  cadre::on_worker_death on_worker_death = cadre::on_worker_death::replace_worker;
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

}  // namespace cadre
