// SPDX-License-Identifier: MIT
#include <cadre/completion_queue.hpp>
#include <cadre/errors.hpp>
#include <cadre/hooks.hpp>

#include <deque>
#include <exception>
#include <memory>
#include <mutex>

#include "base/keep_for_ever.hpp"
#include "future/waiter.hpp"
#include "ipc/event.hpp"
#include "sync/mutex.hpp"

namespace cadre {
namespace detail {

/// The inside of a completion_queue. Kept alive by the queue and by each listener that was added,
/// since who makes a state done may still ring when the queue is gone.
///
/// ready_ is a list, newest first, and says whether somebody must ring:
///
///   completing thread                     loop
///   P1  push onto ready_                  D1  ready_ := draining, take what was there
///   P2  ring if it was asleep             D2  silence the descriptor
///                                         D3  draining -> asleep, if nothing came; else D1
///
/// The list ends with `asleep` or `draining`, whichever it was pushed onto. A ring that comes after
/// D2 wakes the loop for nothing, once.
class completion_list {
 public:
  /// The state of its future has a reference meanwhile: the node's.
  void add(state_base& state, std::unique_ptr<completion> owned) {
    require_own_process();
    completion& node = *owned.release();
    node.list_ = this;
    node.state_ = ref{&state};
    // relaxed: the caller's reference is there.
    refs_.fetch_add(1, std::memory_order_relaxed);
    {
      const std::lock_guard held{mutex_};
      node.next_ = newest_;
      if (newest_ != nullptr) newest_->previous_ = &node;
      newest_ = &node;
      ++size_;
    }
    if (!state.add_listener(node)) push(node);
  }

  void push(completion& node) noexcept {
    // relaxed: the compare-exchange publishes.
    completion* newest = ready_.load(std::memory_order_relaxed);
    do {
      node.next_ready_ = newest;
      // release: P1, pairs with the acquire in take(). relaxed on failure: the loop looks again.
    } while (!ready_.compare_exchange_weak(newest, &node, std::memory_order_release,
                                           std::memory_order_relaxed));
    if (newest == asleep) event_.ring();  // P2
    release();
  }

  std::size_t drain(std::size_t limit) {
    require_own_process();
    if (std::exchange(draining_, true)) return 0;
    refs_.fetch_add(1, std::memory_order_relaxed);  // relaxed: as in add(); a callback may destroy
    take();
    event_.silence();
    std::size_t drained = 0;
    for (;;) {
      while (oldest_ != nullptr && drained < limit && !closed_) {
        run_oldest();
        ++drained;
      }
      completion* expected = draining();
      // release: D3; pairs with the release sequence that P1 continues. relaxed on failure: take()
      // looks again.
      if (ready_.compare_exchange_strong(expected, asleep, std::memory_order_release,
                                         std::memory_order_relaxed)) {
        break;
      }
      take();
    }
    if (oldest_ != nullptr) event_.ring();
    draining_ = false;
    release();
    return drained;
  }

  std::optional<std::uint64_t> next_key() {
    require_own_process();
    if (keys_.empty()) return std::nullopt;
    const std::uint64_t key = keys_.front();
    keys_.pop_front();
    return key;
  }

  std::size_t size() {
    require_own_process();
    const std::lock_guard held{mutex_};
    return size_;
  }

  int fd() const noexcept { return event_.fd(); }

  /// The queue goes.
  void close() noexcept {
    if (generation_ != fork_generation()) {
      // Its states may be locked by threads of the parent.
      return keep_for_ever(std::shared_ptr<void>{this, [](void*) {}});
    }
    closed_ = true;
    // Those whose listener is still there are taken out here; the others come through push().
    for (completion* node = newest_; node != nullptr; node = node->next_) {
      if (node->state_->remove_listener(*node)) release();
    }
    release();
  }

 private:
  // What the list ends with.
  static constexpr completion* asleep = nullptr;
  completion* draining() noexcept { return reinterpret_cast<completion*>(this); }

  ~completion_list() {
    // The last who knew it: no lock is needed.
    while (newest_ != nullptr) delete std::exchange(newest_, newest_->next_);
  }
  friend class cadre::completion_queue;

  void require_own_process() const {
    if (generation_ == fork_generation()) return;
    throw broken_executor{
        "completion_queue: it belongs to the parent of this forked process; make a new one in the "
        "child"};
  }

  /// D1. Moves what is ready behind what was left.
  void take() noexcept {
    // acquire: pairs with the release in push(); relaxed would do for D1 itself.
    completion* node = ready_.exchange(draining(), std::memory_order_acquire);
    completion* first = nullptr;
    completion* last = node;
    while (node != asleep && node != draining()) {
      completion* const older = node->next_ready_;
      node->next_ready_ = std::exchange(first, node);
      node = older;
    }
    if (first != nullptr) {
      (oldest_ == nullptr ? oldest_ : last_->next_ready_) = first;
      last_ = last;
    }
  }

  void run_oldest() noexcept {
    const std::unique_ptr<completion> node{std::exchange(oldest_, oldest_->next_ready_)};
    {
      const std::lock_guard held{mutex_};
      (node->previous_ != nullptr ? node->previous_->next_ : newest_) = node->next_;
      if (node->next_ != nullptr) node->next_->previous_ = node->previous_;
      --size_;
    }
    try {
      if (!node->run(*node->state_)) keys_.push_back(node->key);
    } catch (...) {
      report_unhandled("completion callback", node->state_->name(), std::current_exception());
    }
  }

  void release() noexcept {
    // acq_rel: pairs with the other owners' fetch_sub; the last one destroys what all of them used.
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  const unsigned generation_ = fork_generation();
  const ipc::event event_;
  sync::atomic<completion*> ready_{asleep};
  sync::atomic<std::size_t> refs_{1};
  sync::mutex mutex_;
  completion* newest_ = nullptr;  // guarded by mutex_, as size_: all that are watched
  std::size_t size_ = 0;

  // The loop's:
  completion* oldest_ = nullptr;  // taken and not yet run
  completion* last_ = nullptr;
  bool draining_ = false;
  bool closed_ = false;
  std::deque<std::uint64_t> keys_;
};

completion::completion() noexcept : listener{&notified} {}
completion::~completion() = default;

void completion::notified(listener& self, state_base&) noexcept {
  auto& node = static_cast<completion&>(self);
  node.list_->push(node);
}

}  // namespace detail

namespace {

class key_only final : public detail::completion {
 public:
  bool run(detail::state_base&) override { return false; }
};

}  // namespace

completion_queue::completion_queue() : list_{new detail::completion_list} {}
completion_queue::~completion_queue() { list_->close(); }
int completion_queue::native_handle() const noexcept { return list_->fd(); }
std::size_t completion_queue::drain(std::size_t limit) { return list_->drain(limit); }
std::optional<std::uint64_t> completion_queue::next_key() { return list_->next_key(); }
std::size_t completion_queue::size() const { return list_->size(); }

void completion_queue::add(detail::state_base& state, detail::completion* node) {
  list_->add(state, std::unique_ptr<detail::completion>{node});
}

void completion_queue::add_key(detail::state_base& state, std::uint64_t key) {
  auto node = std::make_unique<key_only>();
  node->key = key;
  list_->add(state, std::move(node));
}

}  // namespace cadre
