// SPDX-License-Identifier: MIT
#include <cadre/errors.hpp>
#include <cadre/wait.hpp>

#include <algorithm>
#include <deque>
#include <numeric>
#include <string>

#include "future/waiter.hpp"

namespace cadre::detail {
namespace {

/// One thread that waits for some states, and a listener for each of them. It is woken once. The
/// waiter and each added listener hold a reference: a waiter may leave while a notification is on
/// its way.
class waiting {
 public:
  waiting(std::size_t count, wait_for_which which)
      : nodes_{new node[count]}, left_{count}, which_{which} {
    for (std::size_t i = 0; i < count; ++i) nodes_[i].owner = this;
  }

  void listen(const std::vector<state_base*>& states) {
    for (std::size_t i = 0; i < states.size(); ++i) {
      // relaxed: the reference is for a listener that does not exist yet.
      refs_.fetch_add(1, std::memory_order_relaxed);
      if (!states[i]->add_listener(nodes_[i])) nodes_[i].notify(nodes_[i], *states[i]);
    }
  }

  /// Until the wait is over, or the deadline.
  void park(time_point deadline) noexcept { parker_.park(deadline); }

  /// The waiter goes.
  void leave(const std::vector<state_base*>& states) noexcept {
    for (std::size_t i = 0; i < states.size(); ++i) {
      if (states[i]->remove_listener(nodes_[i])) release();
    }
    release();
  }

 private:
  struct node : listener {
    node() noexcept : listener{&notified} {}
    waiting* owner = nullptr;
  };

  static void notified(listener& self, state_base& done) noexcept {
    waiting& owner = *static_cast<node&>(self).owner;
    // relaxed: the waiter synchronises with each state by itself.
    const bool last = owner.left_.fetch_sub(1, std::memory_order_relaxed) == 1;
    if (last || owner.which_ == wait_for_which::first ||
        (owner.which_ == wait_for_which::first_error && done.get_status() == state_base::error)) {
      owner.parker_.unpark();
    }
    owner.release();
  }

  void release() noexcept {
    // acq_rel: pairs with the other owners' fetch_sub; the last one destroys what all of them used.
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  std::unique_ptr<node[]> nodes_;
  sync::parker parker_;
  sync::atomic<std::size_t> left_;
  sync::atomic<std::size_t> refs_{1};
  wait_for_which which_;
};

}  // namespace

std::vector<bool> first_occurrences(const std::vector<state_base*>& states) {
  std::vector<std::size_t> order(states.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::less<>{}(states[a], states[b]);
  });
  std::vector<bool> first(states.size(), true);
  for (std::size_t i = 1; i < order.size(); ++i) {
    if (states[order[i - 1]] == states[order[i]]) first[order[i]] = false;
  }
  return first;
}

void wait_for_states(const std::vector<state_base*>& states, wait_for_which which,
                     time_point deadline) {
  const bool untimed_all = which == wait_for_which::all && deadline == never;
  if (waiting_worker* worker = this_thread_worker(); worker != nullptr && untimed_all) {
    // The newest first: it is at this worker's end of the deque, the oldest at that of the thieves.
    for (auto s = states.rbegin(); s != states.rend(); ++s) claim_all(*worker, **s);
  }
  std::vector<state_base*> open;
  for (state_base* s : states) {
    const auto status = s->get_status();
    if (status < state_base::cancelled) {
      if (fork_generation() != 0) s->throw_if_forked();
      open.push_back(s);
    } else if (which == wait_for_which::first ||
               (which == wait_for_which::first_error && status == state_base::error)) {
      return;
    }
  }
  if (open.empty() || (deadline != never && deadline <= std::chrono::steady_clock::now())) return;

  const blocking_scope scope{open.data(), open.size(), untimed_all};
  auto* all = new waiting{open.size(), which};
  all->listen(open);
  all->park(deadline);
  all->leave(open);
}

/// as_completed: the listeners push themselves onto a ready list, from which the owner takes
/// everything at once. Like `waiting`, it is kept alive by its owner and each added listener.
class completion_set::impl {
 public:
  void add(state_base& state, std::size_t place) {
    if (fork_generation() != 0 && !state.done()) state.throw_if_forked();
    node& n = new_node();
    n.state = &state;
    n.place = place;
    state.add_ref();
    ++remaining_;
    // relaxed: the reference is for a listener that does not exist yet.
    refs_.fetch_add(1, std::memory_order_relaxed);
    if (!state.add_listener(n)) n.notify(n, state);
  }

  state_base* next(time_point deadline, std::size_t* place) {
    if (remaining_ == 0) return nullptr;
    while (oldest_ == nullptr) {
      if (take_ready()) break;
      if (deadline <= std::chrono::steady_clock::now()) {
        if (!notification_is_coming()) throw_timeout();
        parker_.park();
        continue;
      }
      if (naps(deadline)) continue;
      const auto some_ready = [this] {
        // relaxed: take_ready() synchronises.
        return ready_.load(std::memory_order_relaxed) != nullptr;
      };
      if (spinning_pays() && deadline == never && this_thread_worker() == nullptr &&
          sync::spin_until(some_ready, wait_spin)) {
        continue;
      }
      const blocking_scope scope{nullptr, 0, false};
      const auto begin = std::chrono::steady_clock::now();
      parker_.park(deadline);
      stream_ = std::chrono::steady_clock::now() - begin < most_nap;
    }
    if (place != nullptr) *place = oldest_->place;
    return pop();
  }

  state_base* try_next() noexcept { return oldest_ != nullptr || take_ready() ? pop() : nullptr; }

  bool begin_wait(listener& waiter) noexcept {
    waiter_ = &waiter;
    node* empty = nullptr;
    // release: pairs with the acquire half in notified(), which reads waiter_. relaxed on failure:
    // take_ready() synchronises.
    return ready_.compare_exchange_strong(empty, waiting_mark(), std::memory_order_release,
                                          std::memory_order_relaxed);
  }

  bool end_wait() noexcept {
    node* mark = waiting_mark();
    // relaxed, both: nothing is read; who is notified instead synchronises with who notifies.
    return ready_.compare_exchange_strong(mark, nullptr, std::memory_order_relaxed,
                                          std::memory_order_relaxed);
  }

  bool notification_is_coming() const noexcept {
    return std::any_of(nodes_.begin(), nodes_.end(),
                       [](const node& n) { return n.state != nullptr && n.state->done(); });
  }

  std::size_t remaining() const noexcept { return remaining_; }

  [[noreturn]] void throw_timeout() const {
    throw timeout_error{"as_completed: " + std::to_string(remaining_) + " (of " +
                        std::to_string(remaining_ + reported_) +
                        ") futures unfinished when the time was over; their calls go on"};
  }

  /// The owner goes.
  void leave() noexcept {
    for (node& n : nodes_) {
      if (n.state != nullptr && n.state->remove_listener(n)) {
        std::exchange(n.state, nullptr)->release();
        release();
      }
    }
    release();
  }

 private:
  struct node : listener {
    explicit node(impl* set) noexcept : listener{&notified}, owner{set} {}
    impl* owner;
    state_base* state = nullptr;  // counted; null while unused
    node* ready_next = nullptr;
    std::size_t place = 0;
  };

  ~impl() {
    for (node& n : nodes_) {
      if (n.state != nullptr) n.state->release();
    }
  }

  static void notified(listener& self, state_base& done) noexcept {
    node& n = static_cast<node&>(self);
    impl& owner = *n.owner;
    // relaxed: the compare-exchange below publishes.
    node* newest = owner.ready_.load(std::memory_order_relaxed);
    do {
      n.ready_next = newest == owner.waiting_mark() ? nullptr : newest;
      // acq_rel: release pairs with the acquire in take_ready(); acquire with the release in
      // begin_wait(). relaxed on failure: the loop looks again.
    } while (!owner.ready_.compare_exchange_weak(newest, &n, std::memory_order_acq_rel,
                                                 std::memory_order_relaxed));
    if (newest == owner.waiting_mark()) {
      listener& waiter = *owner.waiter_;
      waiter.notify(waiter, done);
    }
    // Whoever pushes onto an empty list owes the wake-up: until the owner takes the list, the
    // others find it non-empty.
    if (newest == nullptr) end_sleep(owner.parker_);
    owner.release();
  }

  /// False if it did not: then the caller sleeps until the next one is ready. It naps while several are
  /// awaited and come soon one after the other.
  bool naps(time_point deadline) noexcept {
    if (!stream_ || remaining_ < 2 || this_thread_worker() != nullptr) return false;
    stream_ = parker_.nap(std::min(deadline, deadline_after(most_nap)));
    return true;
  }

  /// The ready list, while it is empty and somebody waits who does not block. No node's address.
  node* waiting_mark() noexcept { return reinterpret_cast<node*>(this); }

  state_base* pop() noexcept {
    node* n = std::exchange(oldest_, oldest_->ready_next);
    state_base* state = std::exchange(n->state, nullptr);
    n->ready_next = std::exchange(unused_, n);
    --remaining_;
    ++reported_;
    return state;
  }

  /// Moves the ready list, oldest first, to where next() finds it.
  bool take_ready() noexcept {
    // acquire: pairs with the release in notified().
    node* newest = ready_.exchange(nullptr, std::memory_order_acquire);
    while (newest != nullptr) {
      node* n = std::exchange(newest, newest->ready_next);
      n->ready_next = std::exchange(oldest_, n);
    }
    return oldest_ != nullptr;
  }

  node& new_node() {
    if (unused_ == nullptr) return nodes_.emplace_back(this);
    return *std::exchange(unused_, unused_->ready_next);
  }

  void release() noexcept {
    // acq_rel: pairs with the other owners' fetch_sub; the last one destroys what all of them used.
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  sync::atomic<node*> ready_{nullptr};
  sync::parker parker_;
  sync::atomic<std::size_t> refs_{1};
  // The owner's:
  listener* waiter_ = nullptr;  // and of who replaces the mark
  node* oldest_ = nullptr;
  node* unused_ = nullptr;
  std::deque<node> nodes_;
  std::size_t remaining_ = 0;
  std::size_t reported_ = 0;
  bool stream_ = false;  // the last sleep was a short one
};

completion_set::completion_set() : impl_{new impl} {}
completion_set::completion_set(completion_set&& other) noexcept
    : impl_{std::exchange(other.impl_, nullptr)} {}
completion_set& completion_set::operator=(completion_set&& other) noexcept {
  std::swap(impl_, other.impl_);
  return *this;
}
completion_set::~completion_set() {
  if (impl_ != nullptr) impl_->leave();
}
void completion_set::add(state_base& state, std::size_t place) { impl_->add(state, place); }
state_base* completion_set::next(time_point deadline, std::size_t* place) {
  return impl_->next(deadline, place);
}
state_base* completion_set::try_next() noexcept { return impl_->try_next(); }
bool completion_set::begin_wait(listener& waiter) noexcept { return impl_->begin_wait(waiter); }
bool completion_set::end_wait() noexcept { return impl_->end_wait(); }
std::size_t completion_set::remaining() const noexcept { return impl_->remaining(); }
bool completion_set::notification_is_coming() const noexcept {
  return impl_->notification_is_coming();
}
void completion_set::throw_timeout() const { impl_->throw_timeout(); }

struct gathering::node : listener {
  node() noexcept : listener{&notified, true} {}
  gathering* owner = nullptr;

  static void notified(listener& self, state_base&) noexcept {
    node& n = static_cast<node&>(self);
    gathering& owner = *n.owner;
    // acq_rel: pairs among the inputs' threads, so that complete() sees all inputs done.
    if (owner.done_.fetch_add(1, std::memory_order_acq_rel) + 1 == owner.needed_) {
      owner.forget_others();
      owner.complete(static_cast<std::size_t>(&n - owner.nodes_.get()));
    }
    owner.self_.release();
  }
};

gathering::gathering(state_base& self, std::vector<state_base*> inputs, std::size_t needed)
    : self_{self}, inputs_{std::move(inputs)}, needed_{needed}, nodes_{new node[inputs_.size()]} {}

gathering::~gathering() = default;

void gathering::start() {
  if (needed_ == 0) complete(0);
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    nodes_[i].owner = this;
    self_.add_ref();
    add_callback(*inputs_[i], nodes_[i]);
  }
  forget_others();
}

/// Leaves the inputs that a when_any() does not need any more: one that is never done would keep the
/// results of all that it was ever in. It is called when all nodes are added, and when enough inputs are
/// done; the second of these calls does it.
void gathering::forget_others() noexcept {
  if (needed_ == inputs_.size()) return;
  // acq_rel: pairs with the other exchange here, so that the second sees the nodes that the first added.
  if (!ready_to_forget_.exchange(true, std::memory_order_acq_rel)) return;
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    if (inputs_[i]->remove_listener(nodes_[i])) self_.release();
  }
}

void gathering::visit_inputs(void (*visit)(state_base&, void*), void* context) {
  if (needed_ < inputs_.size()) return;  // it waits for none of them in particular
  for (state_base* input : inputs_) visit(*input, context);
}

}  // namespace cadre::detail
