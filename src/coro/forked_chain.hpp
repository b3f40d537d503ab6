// SPDX-License-Identifier: MIT
// forked_chain: the chain of a task that runs beside others, for one that awaits them all; and what the chain of
// that one knows of them.
#pragma once

#include <cadre/detail/fork_join.hpp>
#include <cadre/detail/task_chain.hpp>

#include <exception>
#include <mutex>
#include <string_view>
#include <utility>

#include "executor/call_list.hpp"
#include "sync/mutex.hpp"

namespace cadre::detail {

/// Of an executor that will not run a task; null, if that was cancelled with all that is pending.
std::exception_ptr or_cancelled(std::exception_ptr reason);

class forked_chain final : public state_base, private task_chain {
 public:
  explicit forked_chain(const fork_entry& entry) noexcept
      : state_base{std::uint32_t{1}},
        task_chain{static_cast<state_base&>(*this)},
        of_{*entry.join_},
        task_{*entry.task_},
        fail_task_{entry.fail_task_} {}

  /// On a worker, for the entry of the task. As task_chain::drive().
  bool begin(run_context& context) noexcept {
    task_chain& parent = *of_.parent_.chain;
    start_for(parent, task_, *of_.parent_.where);
    parent.enter(*this);
    return drive(context);
  }

  /// It will not go on; its frames are destroyed by who awaits it.
  void fail(std::exception_ptr reason) noexcept override {
    fail_task_(task_, std::move(reason));
    end();
  }
  bool request_stop() noexcept override { return request_chain_stop(); }
  std::string_view name() const noexcept override { return of_.parent_.chain->chain_name(); }

 private:
  friend task_chain;

  ~forked_chain() override = default;

  bool complete(run_context& context) noexcept override {
    context.census = nullptr;  // who awaits it may go on in this worker's queue
    context.about_to_publish(true);
    end();
    return true;
  }

  task_chain* awaited_by() noexcept override { return of_.parent_.chain; }

  void end() noexcept {
    of_.parent_.chain->leave(*this);
    const ref<state_base> keep = retire();
    of_.arrive();
  }

  fork_join& of_;
  chain_link& task_;
  const fork_entry::fail_function fail_task_;
  // Guarded by the mutex of the parent's forks.
  call_registry::entry entry_{this};
  bool asked_to_stop_ = false;
};

/// What a chain knows of the tasks that it awaits by all().
class task_chain::forks {
 public:
  void enter(forked_chain& child) noexcept {
    const std::lock_guard lock{mutex_};
    children_.add(child.entry_);
  }
  void leave(forked_chain& child) noexcept {
    const std::lock_guard lock{mutex_};
    children_.remove(child.entry_);
  }
  void stop_children() noexcept {
    while (const ref<forked_chain> child = next_to_stop()) child->request_stop();
  }

  std::unique_lock<sync::mutex> hold() noexcept { return std::unique_lock{mutex_}; }

  // The chain's own, or, if it waits for a join, of who ends that.
  fork_join* innermost = nullptr;  // that is open
  std::exception_ptr failure;      // of the executor, which runs the chain no more

 private:
  /// A child that was not asked yet.
  ref<forked_chain> next_to_stop() noexcept {
    const std::lock_guard lock{mutex_};
    for (const auto* e = children_.first(); e != nullptr; e = e->next) {
      auto& child = static_cast<forked_chain&>(*e->call);
      if (!std::exchange(child.asked_to_stop_, true)) return ref{&child};
    }
    return {};
  }

  sync::mutex mutex_;
  call_list children_;  // guarded by mutex_: those that run, or wait
};

static_assert(sizeof(fork_entry) <= 64 && sizeof(forked_chain) <= 192, "as all.hpp says");

}  // namespace cadre::detail
