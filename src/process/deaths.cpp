// SPDX-License-Identifier: MIT
// process_pool_executor::impl: what becomes of the calls of a worker that died, and when a pool is
// broken.
#include <signal.h>
#include <cadre/hooks.hpp>

#include <algorithm>
#include <utility>

#include "base/what_of.hpp"
#include "process/exception_codec.hpp"
#include "process/process_pool.hpp"

namespace cadre {

using process::death_report;
using process::remote_worker;
using process::stop_reason;
using process::task;

namespace {

// Workers that die before they come to their first call would be replaced for ever. An initializer that
// kills them is slow perhaps, and will do it again; a start alone is quick, and it is others who kill it.
constexpr unsigned most_failed_initializers = 3;
constexpr unsigned most_failed_starts = 20;
// As would a call that kills its workers before these have said that they run it.
constexpr unsigned most_losses = 3;

std::string quoted(const task& t) {
  const std::string_view name = t.call().name();
  return name.empty() ? std::string{"a call"} : '"' + std::string{name} + '"';
}

}  // namespace

void process_pool_executor::impl::bury_dead(lock& held) {
  auto deaths = std::exchange(deaths_, {});
  for (auto& [token, how] : deaths) {
    const auto found = workers_.find(token);
    if (found == workers_.end()) continue;
    if (found->second->reading) {
      deaths_.emplace_back(token, std::move(how));  // whoever reads wakes us
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
    cancel_pending();
    held.lock();
  }
  if (!deferred_break_.empty()) break_as_deferred(held);
}

void process_pool_executor::impl::break_as_deferred(lock& held) {
  std::string why = std::exchange(deferred_break_, {});
  const auto cause = std::exchange(deferred_cause_, {});
  held.unlock();  // to decode may be the user's, and so is the hook
  std::exception_ptr error;
  try {
    decoder in{cause};
    error = detail::decode_exception(in);
  } catch (...) {
    error = std::current_exception();
  }
  detail::report_unhandled("initializer", options_.name, error);
  why += ": " + detail::what_of(error);
  held.lock();
  break_pool(std::move(why), held);
}

void process_pool_executor::impl::bury(remote_worker& w, const death_report& how, lock& held) {
  poller_.remove(w.hello().fd());
  poller_.remove(w.bell());
  if (w.now == remote_worker::condition::starting || w.initialising) ++failed_starts_;
  task* head = w.head();
  const bool lost = head != nullptr && w.has_begun(*head);
  auto tasks = w.take_all();
  std::vector<verdict> verdicts;
  const bool over = killed_ || !broken_why_.empty();
  const bool unasked = lost && head->stopping == stop_reason::none && !over;
  const bool breaks = unasked && options_.on_worker_death == on_worker_death::break_pool;
  for (auto t = tasks.rbegin(); t != tasks.rend(); ++t) {
    (*t)->worker = nullptr;
    const bool begun = *t == head && lost;
    // A worker may have lied about what it has begun.
    const bool unlucky = *t == head && !lost && ++(*t)->losses > most_losses;
    const bool again = !over && !unlucky && (!begun || (unasked && !breaks && (*t)->retries != 0));
    if (again) {
      if (begun) --(*t)->retries;
      queue_.push_again(**t);
    } else {
      verdicts.push_back({*t});
    }
  }
  const std::string cause =
      "worker " + std::to_string(w.index) + " (pid " + std::to_string(w.pid) + ") " + describe(how);
  // Its memory goes without the lock.
  auto gone = workers_.extract(w.token);
  // release: pairs with the acquire in wait_until_idle().
  changes_.fetch_add(1, std::memory_order_release);
  sync::futex_wake(&changes_, INT32_MAX);
  if (breaks) break_pool(cause, held);
  const std::string broken_why = broken_why_;
  count(verdicts);
  held.unlock();
  // A backtrace takes milliseconds: symbol tables are read. The calls are nobody else's any more.
  for (verdict& v : verdicts) {
    // Of a broken pool, only a call that killed its worker itself hears of that.
    const bool policy_breaks = options_.on_worker_death == on_worker_death::break_pool;
    const bool own_doing = v.of == head && lost && !policy_breaks;
    v.error = broken_why.empty() || own_doing
                  ? verdict_on(*v.of, w, how)
                  : std::make_exception_ptr(broken_executor{broken_why});
  }
  conclude({}, verdicts, held);
  held.unlock();
  gone = {};
  held.lock();
  if (failed_starts_ >= (options_.initializer ? most_failed_initializers : most_failed_starts)) {
    break_pool("workers die before they can run a call; the last one, " + cause, held);
  }
}

std::exception_ptr process_pool_executor::impl::timed_out(const task& t) const {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(*t.timeout).count();
  return std::make_exception_ptr(
      timeout_error{"process_pool: " + quoted(t) + " ran longer than its timeout of " +
                    std::to_string(ms) + " ms; it was ended, the pool goes on"});
}

std::exception_ptr process_pool_executor::impl::protocol_broken(const task& t,
                                                                const remote_worker& w) const {
  worker_death death;
  death.pid = w.pid;
  death.signal = SIGKILL;
  death.call = t.call().name();
  death.hint = w.fault;
  return std::make_exception_ptr(worker_died{std::move(death)});
}

std::exception_ptr process_pool_executor::impl::verdict_on(const task& t, const remote_worker& w,
                                                           const death_report& how) const {
  if (t.stopping == stop_reason::timeout) return timed_out(t);
  worker_death death;
  death.pid = w.pid;
  death.signal = how.signal;
  death.exit_code = how.exit_code.value_or(0);
  death.call = t.call().name();
  death.peak_memory = how.peak_memory;
  if (w.fault != nullptr) {
    death.hint = w.fault;
  } else if (t.stopping == stop_reason::request) {
    death.hint = "it did not stop within its grace period after request_stop()";
  } else if (how.signal == SIGKILL && how.peak_memory != 0) {
    death.hint = "if nobody killed it, the kernel did for want of memory; it had used " +
                 std::to_string(how.peak_memory >> 20) + " MiB";
  }
  if (how.crash) {
    death.fault_address = how.crash->address;
    death.backtrace = how.crash->text();
  }
  return std::make_exception_ptr(worker_died{std::move(death)});
}

/// Fails what is pending; nothing is accepted any more.
void process_pool_executor::impl::break_pool(std::string why, lock& held) {
  if (!broken_why_.empty()) return;
  broken_why_ = "process_pool \"" + options_.name + "\": it is broken, since " + std::move(why) +
                "; its pending calls failed: make a new pool";
  close();
  start_wanted_ = false;
  for (auto& [token, w] : workers_) {
    take_back(*w, w->turn());
    if (options_.on_worker_death == on_worker_death::break_pool && w->process != 0) {
      starter_->kill(w->process, SIGKILL);
    }
  }
  fail_queued(held, broken_why_);
}

}  // namespace cadre
