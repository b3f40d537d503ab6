// SPDX-License-Identifier: MIT
// process_pool_executor::impl: what becomes of the calls of a worker that died, and when a pool is
// broken.
#include <signal.h>
#include <cadre/hooks.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "base/what_of.hpp"
#include "process/exception_codec.hpp"
#include "process/process_pool.hpp"
#include "process/system_calls.hpp"
#include "process/worker_main.hpp"
#include "process/worker_process.hpp"

namespace cadre {

using process::death_report;
using process::remote_worker;
using process::stop_reason;
using process::task;

namespace {

// A call that kills its workers before these have said that they run it would do so for ever. The end of
// a worker in good order, as when somebody sends each of them SIGTERM, counts a hundred times less.
constexpr unsigned cost_of_death = 100;
constexpr unsigned cost_of_good_end = 1;
constexpr unsigned most_losses = 3 * cost_of_death;

std::string quoted(const task& t) {
  const std::string_view name = t.call().name();
  return name.empty() ? std::string{"a call"} : '"' + std::string{name} + '"';
}

/// A call that has lost another worker, which had not begun it, as it seems. The worker may have lied: only
/// who had begun a call is asked to stop it. And a time limit is a limit, however often the call is given
/// away, and however its workers ended.
bool is_given_up(task& t, unsigned cost) noexcept {
  if (t.stopping == stop_reason::request) return true;
  t.losses += cost;
  if (t.again_until <= std::chrono::steady_clock::now()) t.losses = most_losses + 1;
  return t.losses > most_losses;
}

/// The last words of a worker that could not begin.
std::string why_it_refused(const std::string& words, const worker_settings& settings) {
  std::string limits;
  if (settings.file_size) limits += ", worker.file_size";
  if (settings.open_files) limits += ", worker.open_files";
  if (settings.address_space) limits += ", worker.address_space";
  if (!limits.empty()) limits = "; raise what is too low of" + limits.substr(1);
  return " (it said: " + words + limits + ")";
}

}  // namespace

void process_pool_executor::impl::bury_dead(lock& held) {
  auto deaths = std::exchange(deaths_, {});
  for (auto& [token, how] : deaths) {
    const auto found = workers_.find(token);
    if (found == workers_.end()) continue;
    if (found->second->reading || found->second->launching) {
      deaths_.emplace_back(token, std::move(how));  // whoever is at it wakes us
      continue;
    }
    // What it still sent counts.
    while (drain(*found->second, held)) {
    }
    if (found->second->reading) {  // by a waiter that came while the lock was free
      deaths_.emplace_back(token, std::move(how));
      continue;
    }
    bury(*found->second, how, held);
  }
  pump();
  // What came back from the last workers has nowhere to go.
  if (!broken_why_.empty()) fail_queued(held, broken_why_);
  if (killed_) {
    held.unlock();
    detail::callback_taker* const outer = detail::set_this_thread_taker(this);
    cancel_pending();
    detail::set_this_thread_taker(outer);
    held.lock();
  }
}

void process_pool_executor::impl::break_as_initialiser_failed(
    unsigned index, const std::vector<std::byte>& cause) noexcept {
  std::exception_ptr error;
  try {
    decoder in{cause};
    error = detail::decode_exception(in);
  } catch (...) {
    error = std::current_exception();
  }
  detail::report_unhandled("initializer", options_.name, error);
  lock held{mutex_};
  break_pool(
      "its initializer threw in worker " + std::to_string(index) + ": " + detail::what_of(error),
      held);
}

/// It is none of the pool's any more.
process_pool_executor::impl::worker_ptr process_pool_executor::impl::take_out(
    remote_worker& w) noexcept {
  if (w.now == remote_worker::condition::ending) --ending_;
  return std::move(workers_.extract(w.token).mapped());
}

void process_pool_executor::impl::bury(remote_worker& w, const death_report& how, lock& held) {
  poller_.remove(w.hello().fd());
  poller_.remove(w.bell());
  w.hear_last_words();
  const bool failed_start = !killed_ && !breaking_ && (!w.greeted || w.initialising);
  const bool initializer_died = failed_start && w.greeted;
  if (failed_start) {
    const bool does_it_again = initializer_died || !w.refusal.empty();
    start_failed(does_it_again ? cost_of_refusal : w.fault != nullptr ? cost_of_silence : 1);
  }
  task* head = w.head();
  const bool was_told = killed_ || (w.now == remote_worker::condition::ending && head == nullptr);
  if (!was_told) ++totals_.worker_deaths;
  const bool lost = head != nullptr && w.may_have_begun(*head);
  auto tasks = w.take_all();
  std::vector<verdict> verdicts;
  const bool killed = killed_;
  const bool over = killed || !broken_why_.empty();
  const bool unasked = lost && head->stopping == stop_reason::none && !over;
  const bool breaks = unasked && options_.on_worker_death == on_worker_death::break_pool;
  const unsigned cost =
      how.signal == 0 && how.exit_code == EXIT_SUCCESS ? cost_of_good_end : cost_of_death;
  for (auto t = tasks.rbegin(); t != tasks.rend(); ++t) {
    (*t)->worker = nullptr;
    const bool begun = *t == head && lost;
    const bool unlucky = !over && *t == head && !lost && is_given_up(**t, cost);
    // In a pool that is killed or broken, the caller cancels or fails what is queued.
    const bool again = !unlucky && (!begun || (unasked && !breaks && (*t)->retries != 0));
    if (again) {
      if (begun) --(*t)->retries, ++totals_.retried;
      queue_.push_again(**t);
    } else {
      verdicts.push_back({*t});
    }
  }
  std::string cause =
      "worker " + std::to_string(w.index) + " (pid " + std::to_string(w.pid) + ") " + describe(how);
  if (w.fault != nullptr) cause += std::string{" ("} + w.fault + ")";
  if (!w.refusal.empty()) cause += why_it_refused(w.refusal, options_.worker);
  // Its memory goes without the lock.
  worker_ptr gone = take_out(w);
  tell_shutdown();
  if (breaks) break_pool(cause, held);
  const std::string broken_why = broken_why_;
  count(verdicts);
  held.unlock();
  // The calls are nobody else's any more.
  for (verdict& v : verdicts) {
    // Of a broken pool, only a call that killed its worker itself hears of that.
    const bool policy_breaks = options_.on_worker_death == on_worker_death::break_pool;
    const bool own_doing = v.of == head && lost && !policy_breaks;
    v.error = broken_why.empty() || own_doing
                  ? verdict_on(*v.of, w, how, killed)
                  : std::make_exception_ptr(broken_executor{broken_why});
  }
  // Before its futures are told: whoever submits the next call then has the pool's thread for himself.
  gone.reset();
  conclude(verdicts, held);
  if (failed_start && failed_starts_ == start_budget && (initializer_died || !has_workers())) {
    break_pool("workers die before they can run a call; the last one, " + cause, held);
  }
}

std::exception_ptr process_pool_executor::impl::timed_out(const task& t) const {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(*t.timeout).count();
  return std::make_exception_ptr(
      timeout_error{"process_pool: " + quoted(t) + " ran longer than its timeout of " +
                    std::to_string(ms) + " ms; it was ended, the pool goes on"});
}

std::exception_ptr process_pool_executor::impl::verdict_on(const task& t, const remote_worker& w,
                                                           const death_report& how,
                                                           bool killed) const {
  if (t.stopping == stop_reason::timeout) return timed_out(t);
  if (t.stopping == stop_reason::request && t.call().limit() <= clock::now()) {
    return detail::expired_error(t.call());
  }
  worker_death death;
  death.pid = w.pid;
  death.signal = how.signal;
  death.exit_code = how.exit_code.value_or(0);
  death.call = t.call().name();
  death.peak_memory = how.peak_memory;
  if (w.fault != nullptr) {
    death.hint = w.fault;
  } else if (killed && (how.signal == SIGKILL || how.signal == SIGTERM)) {
    death.hint = std::string{"the pool was told to end its workers by "} +
                 (how.signal == SIGKILL ? "kill_workers()" : "terminate_workers()");
  } else if (t.losses > most_losses) {
    death.hint =
        "it had not said that it had begun the call, nor had those before it, which died as well; "
        "look for what ends them";
  } else if (how.signal == SIGTTIN || how.signal == SIGTTOU) {
    death.hint =
        "the terminal belongs to the program, and a worker that uses it is stopped for ever: read "
        "it in the program, and pass on what was read";
  } else if (t.stopping == stop_reason::request) {
    death.hint = "it did not stop within its grace period after request_stop()";
  } else if (how.signal == SIGSYS && how.crash && how.crash->system_call >= 0) {
    death.hint = "the sandbox does not allow the system call " +
                 process::describe_system_call(how.crash->system_call) +
                 "; if an honest call needs it, and it does no harm, put it in "
                 "worker.allowed_system_calls";
  } else if (how.signal == SIGSYS) {
    death.hint =
        "the sandbox does not allow a system call that it made while its signals were blocked, as "
        "fork(), system() and posix_spawn() do; which one, the kernel tells nobody";
  } else if (how.exit_code == process::out_of_step) {
    death.hint =
        "its memory was damaged, or cadre has a fault, so that it lost its place among what it was "
        "sent";
  } else if (how.exit_code == process::exits_thread_ended) {
    death.hint =
        "it ended its thread, by pthread_exit() or pthread_cancel(); let it return or throw";
  } else if (how.crash && how.crash->code <= 0 && how.signal != SIGABRT) {
    death.hint =
        "somebody sent it that signal; submit the call again, or with {.retries}, if it may run "
        "twice";
  } else if (how.signal == SIGKILL && how.peak_memory != 0) {
    death.hint = "if nobody killed it, the kernel did for want of memory";
  }
  if (how.crash) {
    // Of a signal that somebody sent, the kernel tells who did in the same place.
    // And of an address that no processor can have (SI_KERNEL) it tells none.
    const bool by_kernel = how.crash->code > 0 && how.crash->code != SI_KERNEL;
    if (by_kernel && (how.signal == SIGSEGV || how.signal == SIGBUS)) {
      death.fault_address = how.crash->address;
    }
    death.frames = how.crash->frames;
  }
  return std::make_exception_ptr(worker_died{std::move(death)});
}

/// Fails what is pending; nothing is accepted any more.
void process_pool_executor::impl::break_pool(std::string why, lock& held) {
  if (!broken_why_.empty()) return;
  close();
  start_wanted_ = false;
  for (auto& [token, w] : workers_) {
    take_back(*w, w->turn());
    if (options_.on_worker_death == on_worker_death::break_pool && w->process != 0) {
      starter_->kill(w->process, SIGKILL);
    }
  }
  broken_why_ = "process_pool \"" + options_.name + "\": it is broken, since " + std::move(why) +
                pending_calls_failed() + "make a new pool";
  fail_queued(held, broken_why_);
}

}  // namespace cadre
