// SPDX-License-Identifier: MIT
#include <cadre/detail/state.hpp>
#include <cadre/errors.hpp>
#include <cadre/future.hpp>
#include <cadre/hooks.hpp>

#include "future/waiter.hpp"
#include "sync/futex.hpp"

namespace cadre::detail {
namespace {

/// A thread that sleeps until one state is done.
struct sleeping_thread : listener {
  sleeping_thread() noexcept
      : listener{[](listener& self, state_base&) noexcept {
          end_sleep(static_cast<sleeping_thread&>(self).parker);
        }} {}
  sync::parker parker;
};

/// Callbacks that one thread is to notify, in the order in which they came.
class callback_list {
 public:
  explicit operator bool() const noexcept { return first_ != nullptr; }

  void append(listener& node) noexcept {
    node.next = nullptr;
    (first_ == nullptr ? first_ : last_->next) = &node;
    last_ = &node;
  }

  /// Notifies all of them, and those that are appended meanwhile, until none is left.
  void run() noexcept;

 private:
  listener* first_ = nullptr;
  listener* last_ = nullptr;
};

/// The list whose node is being notified on this thread. Only that node may append, when it has nothing
/// more to do: whatever else completes a state meanwhile has a list of its own.
constinit thread_local callback_list* list_here = nullptr;

void callback_list::run() noexcept {
  const token_scope no_token{nullptr};  // they are no part of the call that set a promise here
  callback_list* const outer = std::exchange(list_here, this);
  while (first_ != nullptr) {
    listener* const node = std::exchange(first_, first_->next);
    state_base* const done = node->finished;
    const bool kept = node->keeps_finished;
    node->notify(*node, *done);
    if (kept) done->release();
  }
  list_here = outer;
}

// Values may hold futures whose values hold futures. Up to this depth, a state goes as soon as its last
// reference does; those that are deeper wait for the one above, so that a chain takes a bounded stack.
constexpr unsigned most_nested_ends = 100;

constinit thread_local const state_base* handed_on_here = nullptr;

/// What the waits of this thread have shown.
struct wait_memory {
  // Of how many states in a row it was over at once, since this thread last slept: so many, and what it waits for
  // comes in a stream. Fewer may be chance, and then it naps for nothing; more is learnt later.
  static constexpr unsigned stream = 2;

  const state_base* last = nullptr;  // its address: one that is asked several things counts once
  unsigned over_at_once = 0;
};

constinit thread_local wait_memory waits_here;

constinit thread_local unsigned nested_ends = 0;
constinit thread_local state_base* waiting_to_end = nullptr;

}  // namespace

state_base::~state_base() = default;

bool state_base::run(run_context&) noexcept { return true; }

/// The last reference is gone.
void state_base::destroy() noexcept {
  if (nested_ends == most_nested_ends) {
    queue_next = std::exchange(waiting_to_end, this);
    return;
  }
  ++nested_ends;
  delete this;
  if (nested_ends == most_nested_ends) {
    while (waiting_to_end != nullptr) {
      delete std::exchange(waiting_to_end, waiting_to_end->queue_next);
    }
  }
  --nested_ends;
}

std::uintptr_t state_base::load_unlocked() const noexcept {
  // relaxed: every caller goes on to a compare-exchange, which orders.
  std::uintptr_t word = word_.load(std::memory_order_relaxed);
  for (int turn = 0; (word & lock_bit) != 0; ++turn) {
    // The owner of LOCK needs a few instructions; if it lost its processor, lend it ours.
    turn < 64 ? sync::pause() : sync::yield();
    word = word_.load(std::memory_order_relaxed);  // relaxed: as above
  }
  return word;
}

bool state_base::try_start_slow() noexcept {
  for (;;) {
    std::uintptr_t word = load_unlocked();
    if ((word & status_mask) != pending) return false;
    // acquire: as in try_start(), pairs with the release of whoever handed the call over. relaxed
    // on failure: the loop looks again.
    if (word_.compare_exchange_weak(word, word | running, std::memory_order_acquire,
                                    std::memory_order_relaxed)) {
      return true;
    }
  }
}

/// Pending -> `next`, which makes the caller the only one who may go on with the call. False if it has
/// begun or is done.
bool state_base::leave_queue(status next) noexcept {
  for (;;) {
    std::uintptr_t word = load_unlocked();
    if ((word & status_mask) != pending) return false;
    // acquire: pairs with the release of whoever made the callable, which discard() destroys.
    // relaxed on failure: the loop looks again.
    if (!word_.compare_exchange_weak(word, word | lock_bit, std::memory_order_acquire,
                                     std::memory_order_relaxed)) {
      continue;
    }
    // A worker that meets this call waits for LOCK, and the executor waits for its workers: so it
    // is still there.
    const bool withdrawn = owner() == nullptr || owner()->withdraw(*this);
    // release: pairs with the acquires of those who spin on LOCK, which see withdraw() done.
    word_.store(withdrawn ? (word & list_mask) | next : word, std::memory_order_release);
    return withdrawn;
  }
}

bool state_base::cancel(when callbacks) noexcept {
  if (!leave_queue(cancelling)) {
    const status now = get_status();
    return now == cancelling || now == cancelled;
  }
  discard();
  publish(cancelled, false, callbacks);
  return true;
}

bool state_base::expire(std::exception_ptr reason) noexcept {
  if (!leave_queue(running)) return false;
  fail(std::move(reason));
  return true;
}

call_owner* state_base::far_owner() const noexcept {
  const bool here = owner_ % generations == fork_generation() % generations;
  return here && (owner_ & elsewhere_bit) != 0 ? owner() : nullptr;
}

bool state_base::ask_owner(bool (call_owner::*question)(state_base&) noexcept) noexcept {
  call_owner* const far = far_owner();
  while (far != nullptr) {
    std::uintptr_t word = load_unlocked();
    if ((word & status_mask) != pending) return false;
    // acquire: pairs with the release of whoever had LOCK before. relaxed on failure: the loop looks
    // again.
    if (!word_.compare_exchange_weak(word, word | lock_bit, std::memory_order_acquire,
                                     std::memory_order_relaxed)) {
      continue;
    }
    const bool answer = (far->*question)(*this);
    // release: pairs with the acquires of those who spin on LOCK.
    word_.store(word, std::memory_order_release);
    return answer;
  }
  return false;
}

void state_base::help_owner(time_point deadline, bool naps) noexcept {
  call_owner* const far = far_owner();
  wait_helper* helper = nullptr;
  while (far != nullptr) {
    std::uintptr_t word = load_unlocked();
    if ((word & status_mask) != pending) return;
    // acquire, relaxed: as in ask_owner(); pairs with the release below.
    if (!word_.compare_exchange_weak(word, word | lock_bit, std::memory_order_acquire,
                                     std::memory_order_relaxed)) {
      continue;
    }
    helper = far->begin_help(*this, naps);
    // release: pairs with the acquires of those who spin on LOCK.
    word_.store(word, std::memory_order_release);
    break;
  }
  if (helper != nullptr) helper->help(*this, deadline);
}

bool state_base::take() noexcept {
  std::uintptr_t expected = value;
  // acq_rel: acquire pairs with the release in finish(); release with a later reader's acquire,
  // who then reports "taken". acquire on failure: the status is reported.
  return word_.compare_exchange_strong(expected, taken, std::memory_order_acq_rel,
                                       std::memory_order_acquire);
}

/// False, and nothing happened, if it is to be pending and is not.
bool state_base::publish(status final, bool only_pending, when callbacks) noexcept {
  for (;;) {
    std::uintptr_t word = load_unlocked();
    if (only_pending && (word & status_mask) != pending) return false;
    // acq_rel: release pairs with the acquire in get_status(); acquire with the release in
    // add_listener(), so that the nodes can be read. relaxed on failure: the loop looks again.
    if (word_.compare_exchange_weak(word, final, std::memory_order_acq_rel,
                                    std::memory_order_relaxed)) {
      notify_all(list_of(word), callbacks);
      return true;
    }
  }
}

void state_base::finish_handed_on(status final) noexcept {
  if (handed_on_here == this) return finish_in_turn(final);
  finish(final);
}

handing_on::handing_on(const state_base& call) noexcept
    : before_{std::exchange(handed_on_here, &call)} {}
handing_on::~handing_on() { handed_on_here = before_; }

bool state_base::settle_slow(status final) noexcept {
  const ref keep{this};  // a callback may drop the writer's reference
  return publish(final, true);
}

void state_base::notify_all(listener* newest, when callbacks) noexcept {
  // Waiters first, since a callback may take long; callbacks in the order they were added.
  listener* oldest = nullptr;
  while (newest != nullptr) {
    listener* node = std::exchange(newest, newest->next);
    if (node->runs_user_code) {
      node->next = std::exchange(oldest, node);
    } else {
      node->notify(*node, *this);
    }
  }
  if (oldest == nullptr) return;
  if (callbacks == when::later && list_here != nullptr) {
    while (oldest != nullptr) {
      listener& node = *std::exchange(oldest, oldest->next);
      node.finished = this;
      node.keeps_finished = true;
      add_ref();
      list_here->append(node);
    }
    return;
  }
  callback_taker* const taker = this_thread_taker();
  if (taker != nullptr && taker->take(*this, oldest)) return;
  if (waiting_worker* worker = this_thread_worker()) worker->begin_callbacks();
  run_callbacks(oldest);
}

void state_base::run_callbacks(listener* oldest) noexcept {
  callback_list own;
  while (oldest != nullptr) {
    listener& node = *std::exchange(oldest, oldest->next);
    node.finished = this;
    node.keeps_finished = false;
    own.append(node);
  }
  own.run();
}

void add_callback(state_base& state, listener& node) noexcept {
  if (state.add_listener(node)) return;
  node.finished = &state;
  node.keeps_finished = false;
  callback_list own;
  own.append(node);
  own.run();
}

bool state_base::add_listener(listener& node) noexcept {
  for (;;) {
    std::uintptr_t word = load_unlocked();
    if ((word & status_mask) >= cancelled) {
      // acquire: pairs with the release in finish(): the caller goes on to read the result.
      static_cast<void>(word_.load(std::memory_order_acquire));
      return false;
    }
    node.next = list_of(word);
    const auto head = reinterpret_cast<std::uintptr_t>(&node) | (word & status_mask);
    // release: pairs with the acquire in publish(), which reads the node. relaxed on failure:
    // the loop looks again.
    if (word_.compare_exchange_weak(word, head, std::memory_order_release,
                                    std::memory_order_relaxed)) {
      return true;
    }
  }
}

bool state_base::remove_listener(listener& node) noexcept {
  std::uintptr_t word = load_unlocked();
  // acquire: pairs with the release in add_listener(), to walk the nodes of others. relaxed on
  // failure: the loop looks again.
  while ((word & status_mask) >= cancelled ||
         !word_.compare_exchange_weak(word, word | lock_bit, std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
    if ((word & status_mask) >= cancelled) return false;
    word = load_unlocked();
  }
  listener* newest = list_of(word);
  listener** link = &newest;
  while (*link != &node) link = &(*link)->next;
  *link = node.next;
  // release: pairs with the acquire in publish(), which reads the shortened list.
  word_.store(reinterpret_cast<std::uintptr_t>(newest) | (word & status_mask),
              std::memory_order_release);
  return true;
}

void state_base::throw_if_forked() {
  for_all_awaited(*this, [](state_base& next) {
    if (next.owner_ == 0 || next.owner_ % generations == fork_generation() % generations)
      return true;
    throw broken_executor{
        "future: its call belongs to the parent of this forked process, which alone will see it "
        "done; make an executor in the child"};
  });
}

bool state_base::wait_until(time_point deadline) {
  const bool again = std::exchange(waits_here.last, this) == this;
  if (done()) {
    if (!again) ++waits_here.over_at_once;
    return true;
  }
  waiting_worker* worker = this_thread_worker();
  if (worker != nullptr && deadline == never) {
    claim_all(*worker, *this);
    if (done()) return true;
  }
  if (fork_generation() != 0) throw_if_forked();
  const bool stream = std::exchange(waits_here.over_at_once, 0) >= wait_memory::stream;
  const bool naps = stream && worker == nullptr;
  help_owner(deadline, naps);
  if (done()) return true;
  if (!naps && spinning_pays() && worker == nullptr && deadline == never &&
      sync::spin_until([this] { return done(); }, wait_spin)) {
    return true;
  }
  if (deadline != never && std::chrono::steady_clock::now() >= deadline) return done();

  state_base* const self = this;
  const blocking_scope scope{&self, 1, deadline == never};
  sleeping_thread sleeper;
  if (!add_listener(sleeper)) return true;
  if (naps && sleeper.parker.nap(std::min(deadline, deadline_after(most_nap)))) return true;
  if (sleeper.parker.park(deadline)) return true;
  if (remove_listener(sleeper)) return false;
  sleeper.parker.park();  // too late to leave: the notification is on its way
  return true;
}

void report_unobserved(std::string_view name, std::exception_ptr error) noexcept {
  report_unhandled("call", name, std::move(error));
}

}  // namespace cadre::detail
