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

bool leads_to(const call_frame* stack, state_base& awaited,
              std::vector<const blocked_worker*>& visited);

/// True if one of the states that `from` awaits ends up waiting for a call on `stack`. Every
/// worker is visited once.
bool leads_to(const call_frame* stack, const blocked_worker& from,
              std::vector<const blocked_worker*>& visited) {
  for (std::size_t i = 0; i < from.count; ++i) {
    if (leads_to(stack, *from.awaited[i], visited)) return true;
  }
  return false;
}

bool leads_to(const call_frame* stack, state_base& awaited,
              std::vector<const blocked_worker*>& visited) {
  if (is_on_stack(&awaited, stack)) return true;
  for (const blocked_worker* other = blocked; other != nullptr; other = other->next) {
    if (!is_on_stack(&awaited, other->stack)) continue;
    if (std::find(visited.begin(), visited.end(), other) != visited.end()) continue;
    visited.push_back(other);
    if (leads_to(stack, *other, visited)) return true;
  }
  // A then- or when_all-future waits for others in turn.
  struct search {
    const call_frame* stack;
    std::vector<const blocked_worker*>& visited;
    bool found = false;
  } next{stack, visited};
  awaited.for_each_awaited(
      [](state_base& input, void* context) {
        auto& s = *static_cast<search*>(context);
        s.found = s.found || (!input.done() && leads_to(s.stack, input, s.visited));
      },
      &next);
  return next.found;
}

}  // namespace

void remember_blocked(blocked_worker& worker) {
  const std::lock_guard lock{graph_mutex};
  std::vector<const blocked_worker*> visited;
  if (leads_to(worker.stack, worker, visited)) {
    const std::string name{worker.stack->call->name()};
    throw deadlock_error{"wait: the call" + (name.empty() ? name : " \"" + name + '"') +
                         " would wait for itself, directly or through the calls that wait for it; "
                         "let no call wait for one that needs its result"};
  }
  worker.next = blocked;
  blocked = &worker;
}

void forget_blocked(blocked_worker& worker) noexcept {
  const std::lock_guard lock{graph_mutex};
  blocked_worker** link = &blocked;
  while (*link != &worker) link = &(*link)->next;
  *link = worker.next;
}

}  // namespace cadre::detail
