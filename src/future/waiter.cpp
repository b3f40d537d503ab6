// SPDX-License-Identifier: MIT
#include "future/waiter.hpp"

#include <pthread.h>

namespace cadre::detail {
namespace {

constinit thread_local waiting_worker* worker_here = nullptr;
constinit thread_local callback_taker* taker_here = nullptr;
constinit thread_local late_wake* wake_here = nullptr;
constinit thread_local bool spin_here = false;
constinit thread_local const std::stop_token* token_here = nullptr;
constinit sync::atomic<unsigned> generation{0};

// Registered before main, hence before any fork that could matter.
[[maybe_unused]] const int registered = ::pthread_atfork(nullptr, nullptr, [] {
  // relaxed: a forked child has one thread.
  generation.fetch_add(1, std::memory_order_relaxed);
  worker_here = nullptr;
  taker_here = nullptr;
  wake_here = nullptr;
});

}  // namespace

waiting_worker* this_thread_worker() noexcept { return worker_here; }

waiting_worker* set_this_thread_worker(waiting_worker* worker) noexcept {
  return std::exchange(worker_here, worker);
}

callback_taker* this_thread_taker() noexcept { return taker_here; }

callback_taker* set_this_thread_taker(callback_taker* taker) noexcept {
  return std::exchange(taker_here, taker);
}

const std::stop_token* this_thread_token() noexcept { return token_here; }

token_scope::token_scope(const std::stop_token* token) noexcept
    : before_{std::exchange(token_here, token)} {}
token_scope::~token_scope() { token_here = before_; }

void claim_all(waiting_worker& worker, state_base& awaited) {
  for_all_awaited(awaited, [&worker](state_base& next) {
    if (next.done()) return false;
    worker.claim(next);
    return true;
  });
}

void end_sleep(sync::parker& sleeper) noexcept {
  const auto slept = sleeper.signal();
  if (slept == sync::parker::sleep::none) return;
  const bool naps = slept == sync::parker::sleep::napping;
  if (naps && wake_here != nullptr) return wake_here->keep(&sleeper);
  if (naps && worker_here != nullptr && worker_here->wake_when_dry(&sleeper)) return;
  sync::parker::wake(&sleeper);
}

late_wake::late_wake() noexcept { wake_here = this; }
late_wake::~late_wake() {
  wake();
  wake_here = nullptr;
}

void late_wake::wake() noexcept {
  while (count_ != 0) sync::parker::wake(kept_[--count_]);
}

void late_wake::wake(sync::parker& sleeper) noexcept {
  if (sleeper.signal() == sync::parker::sleep::none) return;
  wake_here != nullptr ? wake_here->keep(&sleeper) : sync::parker::wake(&sleeper);
}

void late_wake::keep(const sync::parker* sleeper) noexcept {
  if (count_ == kept_.size()) wake();
  kept_[count_++] = sleeper;
}

bool& spinning_pays() noexcept { return spin_here; }

unsigned fork_generation() noexcept {
  // relaxed: it changes only in a forked child, before that has a second thread.
  return generation.load(std::memory_order_relaxed);
}

}  // namespace cadre::detail
