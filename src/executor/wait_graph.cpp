// SPDX-License-Identifier: MIT
#include "executor/wait_graph.hpp"

#include <pthread.h>
#include <cadre/errors.hpp>

#include <algorithm>
#include <mutex>
#include <string>
#include <vector>

#include "sync/mutex.hpp"

namespace cadre::detail {
namespace {

constinit sync::mutex graph_mutex;
constinit blocked_worker* blocked = nullptr;  // guarded by graph_mutex

// The workers of the parent do not exist in a forked child.
[[maybe_unused]] const int registered =
    ::pthread_atfork([] { graph_mutex.lock(); }, [] { graph_mutex.unlock(); },
                     [] {
                       blocked = nullptr;
                       graph_mutex.unlock();
                     });

bool is_on_stack(const state_base* call, const call_frame* frame) noexcept {
  while (frame != nullptr && frame->call != call) frame = frame->caller;
  return frame != nullptr;
}

/// A search among what a worker awaits, directly or through others. Every other worker on the way is visited
/// once; there is no recursion, since chains of futures may be long.
class search {
 public:
  /// Under the lock. What was found is released when the search is destroyed, without it: a value may
  /// go with that.
  template <typename Wanted>
  bool leads_to(const blocked_worker& from, Wanted wanted) {
    visit_awaited_by(from);
    while (next_ != found_.size()) {
      // By value: what follows may move the list.
      const ref<state_base> state = found_[next_++];
      if (wanted(*state)) return true;
      for (const blocked_worker* other = blocked; other != nullptr; other = other->next) {
        if (!is_on_stack(state.get(), other->stack)) continue;
        if (std::find(visited_.begin(), visited_.end(), other) != visited_.end()) continue;
        visited_.push_back(other);
        visit_awaited_by(*other);
      }
      // A then- or when_all-future waits for others in turn.
      state->for_each_awaited(
          [](state_base& input, void* self) {
            if (!input.done()) static_cast<search*>(self)->found_.emplace_back(&input);
          },
          this);
    }
    return false;
  }

 private:
  void visit_awaited_by(const blocked_worker& worker) {
    for (std::size_t i = 0; i < worker.count; ++i) found_.emplace_back(worker.awaited[i]);
  }

  std::vector<ref<state_base>> found_;
  std::size_t next_ = 0;
  std::vector<const blocked_worker*> visited_;
};

}  // namespace

void remember_blocked(blocked_worker& worker) {
  search around;
  const std::lock_guard lock{graph_mutex};
  if (around.leads_to(worker, [&](auto& s) { return is_on_stack(&s, worker.stack); })) {
    const std::string name{worker.stack->call->name()};
    throw deadlock_error{"wait: the call" + (name.empty() ? name : " \"" + name + '"') +
                         " would wait for itself, directly or through the calls that wait for it; "
                         "let no call wait for one that needs its result"};
  }
  worker.next = blocked;
  blocked = &worker;
}

bool awaits_pending(const blocked_worker& worker, const call_owner& pool) {
  search around;
  const std::lock_guard lock{graph_mutex};
  return around.leads_to(worker, [&](auto& s) { return s.is_pending() && s.owned_by(&pool); });
}

void forget_blocked(blocked_worker& worker) noexcept {
  const std::lock_guard lock{graph_mutex};
  blocked_worker** link = &blocked;
  while (*link != &worker) link = &(*link)->next;
  *link = worker.next;
}

}  // namespace cadre::detail
