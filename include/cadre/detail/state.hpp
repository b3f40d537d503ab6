// SPDX-License-Identifier: MIT
// The shared state of a future: one heap block, which for a call is also the task.
//
// Words      reader      a future<T>: asks, waits, cancels
//            runner      whoever won try_start(): a worker, a claiming waiter, a promise
//            listener    a node that is notified once, when the state is done
//
// The word holds everything that changes: status in the low bits, LOCK, and the address of the
// newest listener above.
//
//   pending --try_start()--> running --finish()--> value --take()--> taken
//      |--settle()--> value       '-----finish()--> error
//      |--settle()--> error
//      |--cancel()--> cancelling --finish()--> cancelled
//      '--expire()--> running --finish()--> error
//
//   status       callable     result storage        who may touch them
//   pending      alive        empty                 nobody (the winner of the next step will);
//                -            being written         a promise, which has no callable: to settle()
//   running      alive        being written         the runner
//   cancelling   being destroyed   empty            the thread in cancel()
//   cancelled    gone         empty                 -
//   value        gone         value                 readers; many at a time, as const
//   error        gone         exception_ptr         readers, as const
//   taken        gone         moved-from value      the destructor
//   posted       alive        none                  whoever takes it from the queue
//
// Listeners are pushed by compare-exchange on the word. LOCK makes its setter the only one who may
// change the word; it is held for a few instructions, never while user code runs.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/atomic.hpp>
#include <cadre/detail/block.hpp>
#include <cadre/detail/caught.hpp>
#include <cadre/detail/deadline.hpp>
#include <cadre/detail/prefetch.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <stop_token>
#include <string_view>
#include <type_traits>
#include <utility>

namespace cadre::detail {

class state_base;
class call_registry;
class wait_helper;
struct portable_call_traits;

/// Somebody to notify when a state is done: a waiter, a callback. Whoever adds one keeps it alive
/// until notify() began or remove_listener() returned true.
///
/// A node that finishes a state of its own when it is notified, as then() does, does so by
/// finish_in_turn() or its kin, as the last thing: the nodes of that state are notified by the loop that
/// notified this one, so that a chain of any length takes no stack.
struct alignas(16) listener {
  /// Called once, by the thread that finished the state, with no lock held. May destroy the node.
  using notify_function = void (*)(listener& self, state_base& done) noexcept;

  explicit listener(notify_function function, bool callback = false) noexcept
      : notify{function}, runs_user_code{callback} {}

  listener* next = nullptr;  // the state's, while the node is added
  notify_function notify;
  state_base* finished = nullptr;  // while the node is in a list of callbacks: what it is told of
  bool runs_user_code;             // such nodes are notified after the others
  bool keeps_finished = false;     // the list holds a reference to `finished` for this node
};

/// Makes `token`, or none, the this_worker::stop_token() of this thread for a scope.
class CADRE_API token_scope {
 public:
  explicit token_scope(const std::stop_token* token) noexcept;
  ~token_scope();
  token_scope(const token_scope&) = delete;
  token_scope& operator=(const token_scope&) = delete;

 private:
  const std::stop_token* before_;
};

/// The executor that a call was submitted to, as its state sees it. Its functions are called under
/// LOCK, of a pending call, which keeps the owner alive: they must not block, nor change the call.
class alignas(64) call_owner {
 public:
  /// The call is being cancelled. False if it has begun after all, elsewhere.
  virtual bool withdraw(state_base& call) noexcept = 0;
  /// True if the call, pending here, has begun elsewhere.
  virtual bool has_begun(state_base&) noexcept { return false; }
  /// Asks a call that has begun elsewhere to stop. False if that is not possible.
  virtual bool stop_call(state_base&) noexcept { return false; }
  /// Somebody is about to block until the call is done, or to nap, if `naps`. Null, or who makes progress
  /// meanwhile, and is to be asked for that once.
  virtual wait_helper* begin_help(state_base&, [[maybe_unused]] bool naps) noexcept {
    return nullptr;
  }

  /// True if calls run elsewhere while they are pending here. Only then the last three are asked.
  const bool runs_elsewhere;

 protected:
  explicit call_owner(bool elsewhere = false) noexcept : runs_elsewhere{elsewhere} {}
  ~call_owner() = default;
};

/// What a waiting thread can do for an executor that has nobody else to do it as fast.
class wait_helper {
 public:
  /// Works for a while, at least until `awaited` is done or it is better to sleep. Ends what
  /// call_owner::begin_help() began.
  virtual void help(state_base& awaited, time_point deadline) noexcept = 0;

 protected:
  ~wait_helper() = default;
};

/// What a worker lends to the call that it runs. Accounts for the call just before its result is
/// published, so that whoever sees the result also sees it counted, and its worker idle.
struct run_context {
  using counter = sync::atomic<std::uint64_t>;

  call_registry* registry = nullptr;  // null: nobody will ask
  const state_base** runs = nullptr;  // what the worker says that it runs, if it says so
  counter* ended[2] = {};             // calls that threw, calls that returned
  void (*sample)(run_context&) noexcept = nullptr;  // measures the run time of this call
  counter* census = nullptr;                        // null: the worker has more to do
  std::uint64_t one_idle = 0;
  bool idle_announced = false;
  bool trivial_value = false;  // set by the call: to destroy its state runs no user code

  void about_to_publish(bool returned) noexcept {
    if (counter* c = ended[returned]; c != nullptr) {
      // relaxed, both: one writer; the release in finish() publishes it with the result.
      c->store(c->load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
    if (sample != nullptr) sample(*this);
    if (census == nullptr) return;
    idle_announced = true;
    // seq_cst: as dispatcher::change(); pairs with the submitter's look at the census.
    census->fetch_add(one_idle, std::memory_order_seq_cst);
  }
};

/// The part of a future's state that does not depend on the type of its value.
class CADRE_API state_base {
 public:
  enum status : std::uintptr_t {
    pending,
    running,
    cancelling,
    cancelled,
    value,
    error,
    taken,
    posted,  // a call without a future; whoever takes it from the queue runs it
  };

  state_base(const state_base&) = delete;
  state_base& operator=(const state_base&) = delete;

  // --- any thread, any time ---

  status get_status() const noexcept {
    // acquire: pairs with the release in finish(); what the call wrote is visible after it.
    return static_cast<status>(word_.load(std::memory_order_acquire) & status_mask);
  }
  bool done() const noexcept { return get_status() >= cancelled; }
  /// Runs callbacks that a callback_taker took over.
  void run_callbacks(listener* first) noexcept;
  /// True if nobody has started or cancelled it; waits while LOCK is held.
  bool is_pending() const noexcept { return (load_unlocked() & status_mask) == pending; }

  /// Blocks until done or the deadline; true if done. On a worker, an untimed wait may run the
  /// awaited call inline. Throws deadlock_error, broken_executor.
  bool wait_until(time_point deadline);

  /// Pending -> cancelled. True if it is, or already was. Runs callbacks on this thread.
  bool cancel() noexcept { return cancel(when::now); }

  /// What future::cancel() means: for a state that stands for others, to cancel those.
  virtual bool cancel_by_reader() noexcept { return cancel(); }

  /// Pending -> error, with `reason`; the callable is destroyed unrun. False if it has begun or is done.
  /// Runs callbacks on this thread.
  bool expire(std::exception_ptr reason) noexcept;

  /// Asks a running call to stop through its stop_token. False if it takes none or is done.
  virtual bool request_stop() noexcept { return ask_owner(&call_owner::stop_call); }

  /// True while a worker has the call.
  bool is_running() noexcept {
    return get_status() == running || ask_owner(&call_owner::has_begun);
  }

  /// How the call crosses to another process; null if it cannot.
  virtual const portable_call_traits* portable() const noexcept { return nullptr; }

  /// Adds `node`; false, and nothing happened, if the state is done.
  bool add_listener(listener& node) noexcept;

  /// Takes `node` out again. False if the state is done: then notify() ran, runs or will run.
  bool remove_listener(listener& node) noexcept;

  /// Throws broken_executor if the call belongs to the parent of this forked process.
  void throw_if_forked();

  /// The name given at submit, or empty.
  virtual std::string_view name() const noexcept { return {}; }

  /// When the call is not to begin any more.
  virtual time_point limit() const noexcept { return never; }

  /// Calls `visit` for each state that must be done before this one, if it is not a call itself. Such
  /// a state lives while `visit` runs, which may take a reference to it.
  virtual void for_each_awaited(void (*visit)(state_base&, void*), void* context) {
    static_cast<void>(visit), static_cast<void>(context);
  }

  void mark_observed() noexcept {
    // relaxed: only the destructor reads it, ordered by the reference count.
    refs_.fetch_or(observed_bit, std::memory_order_relaxed);
  }

  void add_ref() noexcept {
    // relaxed: the caller holds a reference, so the count cannot reach zero meanwhile.
    refs_.fetch_add(one_ref, std::memory_order_relaxed);
  }

  /// add_ref() for who holds no reference, only the memory; false if the last one is gone.
  bool try_add_ref() noexcept {
    // relaxed: as add_ref(); the caller learns nothing but that the state lives.
    std::uint32_t refs = refs_.load(std::memory_order_relaxed);
    while (refs >= one_ref) {
      // relaxed: as above.
      if (refs_.compare_exchange_weak(refs, refs + one_ref, std::memory_order_relaxed,
                                      std::memory_order_relaxed)) {
        return true;
      }
    }
    return false;
  }

  void release() noexcept {
    // acquire: pairs with the release half of the fetch_sub by the previous last-but-one owner. A
    // sole owner needs no read-modify-write: nobody else is there to copy or drop a reference.
    if (refs_.load(std::memory_order_acquire) < 2 * one_ref ||
        // acq_rel: pairs with the other owners' fetch_sub; the last one sees all they did.
        refs_.fetch_sub(one_ref, std::memory_order_acq_rel) < 2 * one_ref) {
      destroy();
    }
  }

  /// Drops a reference, unless it is the last one; false then.
  bool release_shared() noexcept {
    // relaxed: the compare-exchange below orders.
    std::uint32_t refs = refs_.load(std::memory_order_relaxed);
    while (refs >= 2 * one_ref) {
      // release: pairs with the acquire in release() by whoever has the last one. relaxed on failure:
      // the loop looks again.
      if (refs_.compare_exchange_weak(refs, refs - one_ref, std::memory_order_release,
                                      std::memory_order_relaxed)) {
        return true;
      }
    }
    return false;
  }

  bool sole_owner() const noexcept {
    // acquire: pairs with the release half of the fetch_sub in release().
    return refs_.load(std::memory_order_acquire) < 2 * one_ref;
  }

  // --- the runner ---

  /// Pending -> running; true for exactly one caller, who becomes the runner.
  bool try_start() noexcept {
    // relaxed: the compare-exchange below orders.
    std::uintptr_t word = word_.load(std::memory_order_relaxed);
    while ((word & (status_mask | lock_bit)) == pending) {
      // acquire: pairs with the release of whoever handed the call over, as a second edge beside
      // the queue's. relaxed on failure: nothing was learnt but the word.
      if (word_.compare_exchange_weak(word, word | running, std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
        return true;
      }
    }
    return (word & lock_bit) != 0 && try_start_slow();
  }

  /// True for a call without a future, which needs no try_start().
  bool is_posted() const noexcept {
    // relaxed: such a call never changes its status.
    return (word_.load(std::memory_order_relaxed) & status_mask) == posted;
  }

  /// True for what a task left its worker with: it has begun, so nobody cancels it in the queue.
  virtual bool is_rest() const noexcept { return false; }

  /// Runner only: calls the callable, destroys it, publishes. Returns false if it threw.
  virtual bool run(run_context& context) noexcept;

  /// Runner only: destroys the callable unrun and publishes `reason` as the error.
  virtual void fail(std::exception_ptr reason) noexcept = 0;

  /// Publishes and notifies. Without a listener it is one compare-exchange.
  void finish(status final) noexcept {
    std::uintptr_t expected = running;
    // release: pairs with the acquire in get_status(). Its failure needs no order: relaxed.
    if (!word_.compare_exchange_strong(expected, final, std::memory_order_release,
                                       std::memory_order_relaxed)) {
      publish(final, false);
    }
  }

  /// Publishes and notifies a state that had no runner, and whose outcome was made beforehand. False,
  /// and the outcome is the caller's to drop, if it was cancelled. Without a listener it is one
  /// compare-exchange, after which nothing is touched: the reader may have destroyed the state.
  bool settle(status final) noexcept {
    std::uintptr_t expected = pending;
    // release: pairs with the acquire in get_status(). Its failure needs no order: relaxed.
    return word_.compare_exchange_strong(expected, final, std::memory_order_release,
                                         std::memory_order_relaxed) ||
           settle_slow(final);
  }

  // --- a listener that was notified, as the last thing that it does; see there ---

  void finish_in_turn(status final) noexcept { publish(final, false, when::later); }
  void cancel_in_turn() noexcept { cancel(when::later); }
  /// In turn, if the listener handed this state to an executor that runs it here and now; else finish().
  void finish_handed_on(status final) noexcept;

  /// Takes the line from the reader, who looks at it, before the outcome is written.
  void prefetch() const noexcept { prefetch_for_write(&word_); }

  // --- executors ---

  /// Before the call is enqueued. `generation` tells the processes of a fork() apart.
  void set_owner(call_owner* owner, unsigned generation) noexcept {
    const bool elsewhere = owner != nullptr && owner->runs_elsewhere;
    owner_ = reinterpret_cast<std::uintptr_t>(owner) | (generation % generations) |
             (elsewhere ? elsewhere_bit : 0);
  }
  bool owned_by(const call_owner* owner) const noexcept {
    return (owner_ & ~(alignof(call_owner) - 1)) == reinterpret_cast<std::uintptr_t>(owner);
  }

  /// False if no executor was given it: then whoever sets it writes it once.
  bool has_owner() const noexcept { return owner_ != 0; }

  /// Value -> taken; true for exactly one caller, who may move the value out.
  bool take() noexcept;

  union {
    state_base* queue_next = nullptr;  // the queue's, while the call is in one
    void* owner_data;                  // or the executor's, for a call that is elsewhere
  };

  static void* operator new(std::size_t size) { return allocate_block(size); }
  static void* operator new(std::size_t size, std::align_val_t align) {
    return static_cast<std::size_t>(align) <= block_alignment ? allocate_block(size)
                                                              : ::operator new(size, align);
  }
  static void operator delete(void* block, std::size_t size) noexcept { free_block(block, size); }
  static void operator delete(void* block, std::size_t size, std::align_val_t align) noexcept {
    if (static_cast<std::size_t>(align) <= block_alignment) {
      free_block(block, size);
    } else {
      ::operator delete(block, align);
    }
  }

 protected:
  explicit state_base(std::uint32_t refs) noexcept : refs_{refs * one_ref} {}
  explicit state_base(status born) noexcept : word_{born}, refs_{one_ref} {}
  virtual ~state_base();

  /// Cancelling only: destroys the callable.
  virtual void discard() noexcept {}

  bool observed() const noexcept {
    // relaxed: called by the destructor, which the reference count ordered.
    return (refs_.load(std::memory_order_relaxed) & observed_bit) != 0;
  }

 private:
  static constexpr std::uintptr_t status_mask = 7;
  static constexpr std::uintptr_t lock_bit = 8;
  static constexpr std::uintptr_t list_mask = ~std::uintptr_t{15};
  static constexpr std::uint32_t observed_bit = 1;
  // Below the address in owner_, which is not to be followed but under LOCK.
  static constexpr std::uintptr_t generations = alignof(call_owner) / 2;
  static constexpr std::uintptr_t elsewhere_bit = generations;
  static constexpr std::uint32_t one_ref = 2;

  static listener* list_of(std::uintptr_t word) noexcept {
    return reinterpret_cast<listener*>(word & list_mask);
  }
  std::uintptr_t load_unlocked() const noexcept;
  call_owner* owner() const noexcept {
    return reinterpret_cast<call_owner*>(owner_ & ~(alignof(call_owner) - 1));
  }
  /// Null unless calls of the owner run elsewhere, and it belongs to this process, not its parent.
  call_owner* far_owner() const noexcept;
  bool ask_owner(bool (call_owner::*question)(state_base&) noexcept) noexcept;
  void help_owner(time_point deadline, bool naps) noexcept;
  /// When the callbacks run: before the function returns, or when the listener that calls it has.
  enum class when : bool { now, later };

  bool try_start_slow() noexcept;
  bool leave_queue(status next) noexcept;
  bool cancel(when callbacks) noexcept;
  bool publish(status final, bool only_pending, when callbacks = when::now) noexcept;
  bool settle_slow(status final) noexcept;
  void notify_all(listener* newest, when callbacks) noexcept;
  void destroy() noexcept;

  sync::atomic<std::uintptr_t> word_{pending};
  std::uintptr_t owner_ = 0;  // address of a call_owner and, below its alignment, a generation
  sync::atomic<std::uint32_t> refs_;

 public:
  std::uint32_t submit_note = 0;  // the executor's, while the call is in a queue
};

/// A counted reference to a state; null when empty.
template <typename State>
class ref {
 public:
  ref() noexcept = default;
  struct adopt {};
  /// Takes over a reference that the caller holds.
  ref(State* state, adopt) noexcept : state_{state} {}
  explicit ref(State* state) noexcept : state_{state} {
    if (state_ != nullptr) state_->add_ref();
  }
  ref(const ref& other) noexcept : ref{other.state_} {}
  ref(ref&& other) noexcept : state_{std::exchange(other.state_, nullptr)} {}
  ref& operator=(ref other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~ref() {
    if (state_ != nullptr) state_->release();
  }

  State* get() const noexcept { return state_; }
  State* operator->() const noexcept { return state_; }
  State& operator*() const noexcept { return *state_; }
  explicit operator bool() const noexcept { return state_ != nullptr; }
  State* detach() noexcept { return std::exchange(state_, nullptr); }

 private:
  State* state_ = nullptr;
};

struct nothing {};

/// How a T is kept: void as nothing, a reference as a pointer.
template <typename T>
using stored = std::conditional_t<
    std::is_void_v<T>, nothing,
    std::conditional_t<std::is_reference_v<T>, std::add_pointer_t<T>, std::remove_cv_t<T>>>;

/// Reports an exception that no future was asked for.
CADRE_API void report_unobserved(std::string_view name, std::exception_ptr error) noexcept;

/// The state of a future<T>. What derives from it adds the callable, or nothing.
template <typename T>
class state : public state_base {
 public:
  /// After done() with status value.
  stored<T>& stored_value() noexcept { return value_; }
  /// After done() with status error.
  const std::exception_ptr& stored_error() const noexcept { return error_; }

  /// Runner only: makes the value from what `function()` returns, or keeps what it throws.
  /// Returns the status to finish with.
  template <typename Function>
  status fill(Function&& function) noexcept {
    try {
      if constexpr (std::is_void_v<T>) {
        std::forward<Function>(function)();
        ::new (static_cast<void*>(std::addressof(value_))) nothing{};
      } else if constexpr (std::is_reference_v<T>) {
        ::new (static_cast<void*>(std::addressof(value_)))
            stored<T>{std::addressof(static_cast<T>(std::forward<Function>(function)()))};
      } else {
        ::new (static_cast<void*>(std::addressof(value_)))
            stored<T>(std::forward<Function>(function)());
      }
      return value;
    } catch (...) {
      return fill_error(caught(name()));
    }
  }

  /// Runner only: keeps `reason`.
  status fill_error(std::exception_ptr reason) noexcept {
    ::new (static_cast<void*>(&error_)) std::exception_ptr{std::move(reason)};
    return error;
  }

  /// Destroys what was made for `unpublished`.
  void unfill(status unpublished) noexcept {
    unpublished == value ? value_.~value_storage() : error_.~exception_ptr();
  }

  void fail(std::exception_ptr reason) noexcept override {
    discard();
    finish_handed_on(fill_error(std::move(reason)));
  }
  /// As that, by a listener; see there.
  void fail_in_turn(std::exception_ptr reason) noexcept {
    discard();
    finish_in_turn(fill_error(std::move(reason)));
  }

 protected:
  explicit state(std::uint32_t refs) noexcept : state_base{refs} {}
  ~state() override {
    const status now = get_status();
    if (now == value || now == taken) {
      unfill(value);
    } else if (now == error) {
      report_if_unobserved({});
      unfill(error);
    }
  }

  /// For destructors: hands an exception that nobody asked for to the unhandled hook, once.
  void report_if_unobserved(std::string_view name) noexcept {
    if (this->get_status() != error || observed()) return;
    mark_observed();
    report_unobserved(name, error_);
  }

 private:
  using value_storage = stored<T>;
  union {
    value_storage value_;
    std::exception_ptr error_;
  };
};

/// Lets executors, promises and combinators make futures and look inside; see future.hpp.
struct access;

}  // namespace cadre::detail
