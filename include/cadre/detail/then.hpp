// SPDX-License-Identifier: MIT
// The state of a then-future: a listener of one future and the state of the next.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/state.hpp>
#include <cadre/future.hpp>

#include <cstdint>
#include <exception>
#include <type_traits>
#include <utility>

namespace cadre {
class cancelled_error;
}

namespace cadre::detail {

/// For a future that has an empty one, or (`itself`) that it is itself.
CADRE_API std::exception_ptr no_inner_future(bool itself) noexcept;

/// Hands `call` (and a reference to it) to `where`; if that refuses, fails the call with the reason.
CADRE_API void submit_then(executor& where, state_base& call) noexcept;

/// Passes on an exception (observed thereby) or a cancellation. False if `from` has a value.
template <typename T, typename Result>
bool forward_failure(state<T>& from, state<Result>& to) noexcept {
  switch (from.get_status()) {
    case state_base::cancelled:
      to.cancel_in_turn();
      return true;
    case state_base::error:
      from.mark_observed();
      if (to.try_start()) to.fail_in_turn(from.stored_error());
      return true;
    default:
      return false;
  }
}

/// What a then-future waits for: needed until its function has run, and dropped then, so that the last
/// future of a chain does not keep all values before it.
template <typename T>
class upstream {
 public:
  explicit upstream(const future<T>& f) noexcept : future_{f} {}
  /// Of a future that set() gives later.
  upstream() noexcept : now_{dropped} {}

  /// The owner, once.
  void set(const future<T>& f) noexcept {
    future_ = f;
    // release: pairs with the acquire in await().
    now_.store(there, std::memory_order_release);
  }

  /// The owner, before drop().
  const future<T>& get() const noexcept { return future_; }

  /// The owner: it is not looked at any more.
  void drop() noexcept {
    await(dropped);
    future_ = {};
  }

  /// Any thread: visits the state, unless it was dropped.
  void visit(void (*visitor)(state_base&, void*), void* context) {
    if (!await(looked_at)) return;
    const ref state{&access::state_of(future_)};
    // release: pairs with the acquire in await(): the owner drops what is not looked at.
    now_.store(there, std::memory_order_release);
    visitor(*state, context);
  }

 private:
  enum phase : std::uint8_t { there, looked_at, dropped };

  /// False if it was dropped. A look takes a few instructions, so nobody waits long.
  bool await(phase next) noexcept {
    phase expected = there;
    // acquire: pairs with the release in visit(). relaxed on failure: the loop looks again.
    while (!now_.compare_exchange_weak(expected, next, std::memory_order_acquire,
                                       std::memory_order_relaxed)) {
      if (expected == dropped) return false;
      expected = there;
    }
    return true;
  }

  future<T> future_;
  sync::atomic<phase> now_{there};
};

/// `Whole` callables take the future, others its value.
template <typename T, typename Function, typename Result, bool Whole>
class then_state final : public state<Result>, private listener {
 public:
  template <typename F>
  then_state(executor* where, const future<T>& from, F&& function)
      : state<Result>{2},  // one reference for the future, one for the listener
        listener{&on_upstream_done, true},
        where_{where},
        upstream_{from},
        function_{std::forward<F>(function)} {}

  ~then_state() override {
    if (!destroyed_) function_.~Function();
  }

  void listen() {
    // The owner's reference: run() on another thread may drop the one of upstream_ meanwhile.
    const future<T> from = upstream_.get();
    add_callback(access::state_of(from), *this);
  }

  bool run(run_context& context) noexcept override {
    const auto final = call_and_discard();
    context.about_to_publish(final == state_base::value);
    this->finish_handed_on(final);
    return final == state_base::value;
  }

  void for_each_awaited(void (*visit)(state_base&, void*), void* context) override {
    upstream_.visit(visit, context);
  }

 private:
  static void on_upstream_done(listener& node, state_base& done) noexcept {
    auto& self = static_cast<then_state&>(node);
    if (Whole ||
        !forward_failure(static_cast<state<T>&>(done), static_cast<state<Result>&>(self))) {
      if (self.where_ != nullptr) {
        submit_then(*self.where_, self);
        return;
      }
      if (self.try_start()) self.finish_in_turn(self.call_and_discard());
    }
    self.release();
  }

  state_base::status call_and_discard() noexcept {
    auto final = this->fill([this]() -> Result { return call(); });
    if constexpr (requires { function_.passes_cancellation; }) {
      if (function_.passes_cancellation) {
        this->unfill(final);
        final = state_base::cancelled;
      }
    }
    discard();
    return final;
  }

  Result call() {
    if constexpr (Whole) {
      return std::move(function_)(upstream_.get());
    } else if constexpr (std::is_void_v<T>) {
      return std::move(function_)();
    } else {
      return std::move(function_)(upstream_.get().get());
    }
  }

  void discard() noexcept override {
    function_.~Function();
    destroyed_ = true;
    upstream_.drop();
  }

  executor* where_;
  upstream<T> upstream_;
  union {
    Function function_;
  };
  bool destroyed_ = false;
};

/// The value of a future that is done, for another one: a copy, since there may be other handles, or moved
/// out if it cannot be copied. Throws what the future has instead.
template <typename T>
T pass_on(future<T> done) {
  if constexpr (std::is_void_v<T> || std::is_reference_v<T>) {
    return done.get();
  } else if constexpr (std::is_copy_constructible_v<T>) {
    return T(std::as_const(done).get());
  } else {
    return std::move(done).get();
  }
}

/// The state of a future of what another future's future has.
template <typename T>
class flat_state final : public state<T> {
 public:
  explicit flat_state(const future<future<T>>& outer)
      : state<T>{2},  // one reference for the future, one for the step that is next
        outer_{outer},
        outer_done_{&on_outer_done, *this},
        inner_done_{&on_inner_done, *this} {}

  void listen() {
    // The owner's reference: the step may drop the one of outer_ meanwhile.
    const future<future<T>> from = outer_.get();
    add_callback(access::state_of(from), outer_done_);
  }

  void for_each_awaited(void (*visit)(state_base&, void*), void* context) override {
    outer_.visit(visit, context);
    inner_.visit(visit, context);
  }

  bool cancel_by_reader() noexcept override {
    ask([](state_base& part) noexcept { return part.cancel_by_reader(); });
    return this->get_status() == state_base::cancelled;  // in turn
  }
  bool request_stop() noexcept override {
    // seq_cst: pairs with the load in on_outer_done(), after which the inner future can be asked here.
    stop_wished_.store(true, std::memory_order_seq_cst);
    ask([](state_base& part) noexcept { return part.request_stop(); });
    return !this->done();  // what is not there yet will be asked when it comes
  }

 private:
  using question = bool (*)(state_base&) noexcept;

  /// Those futures that it waits for now.
  void ask(question q) noexcept {
    this->for_each_awaited(
        [](state_base& part, void* what) { (*static_cast<question*>(what))(part); }, &q);
  }

  struct step : listener {
    step(notify_function function, flat_state& whose) noexcept
        : listener{function, true}, self{whose} {}
    flat_state& self;
  };

  static void on_outer_done(listener& node, state_base& done) noexcept {
    flat_state& self = static_cast<step&>(node).self;
    auto& from = static_cast<state<future<T>>&>(done);
    if (forward_failure(from, static_cast<state<T>&>(self))) {
      self.outer_.drop();
      self.release();
      return;
    }
    const future<T> inner = from.stored_value();
    self.outer_.drop();
    if (!inner.valid() || inner.id() == &self) {
      if (self.try_start()) self.fail_in_turn(no_inner_future(inner.valid()));
      self.release();
      return;
    }
    self.inner_.set(inner);
    // seq_cst: pairs with the store in request_stop().
    if (self.stop_wished_.load(std::memory_order_seq_cst)) inner.request_stop();
    state<T>& next = access::state_of(inner);
    // If it is done: as the last thing here, in turn.
    if (!next.add_listener(self.inner_done_)) on_inner_done(self.inner_done_, next);
  }

  static void on_inner_done(listener& node, state_base& done) noexcept {
    flat_state& self = static_cast<step&>(node).self;
    auto& from = static_cast<state<T>&>(done);
    if (!forward_failure(from, static_cast<state<T>&>(self)) && self.try_start()) {
      self.finish_in_turn(self.fill([&]() -> T { return pass_on(access::make(ref{&from})); }));
    }
    self.inner_.drop();
    self.release();
  }

  upstream<future<T>> outer_;
  upstream<T> inner_;
  step outer_done_;
  step inner_done_;
  sync::atomic<bool> stop_wished_{false};
};

/// A future of what the future in `outer` will have.
template <typename T>
future<T> flatten(const future<future<T>>& outer) {
  using ref = detail::ref<state<T>>;
  auto* flat = new flat_state<T>{outer};
  auto result = access::make(ref{flat, typename ref::adopt{}});
  flat->listen();
  return result;
}

/// What then_error() makes of its function.
template <typename E, typename T, typename Function>
struct error_handler {
  Function function;
  bool passes_cancellation = false;  // told to the then-state

  T operator()(future<T> done) {
    static_assert(
        std::is_invocable_r_v<T, Function, const E&>,
        "then_error: the function must take the exception, as const E&, and return what the "
        "future has");
    passes_cancellation = !std::is_same_v<E, cancelled_error> && done.cancelled();
    if (passes_cancellation) return pass_on(std::move(done));
    try {
      return pass_on(std::move(done));
    } catch (const E& e) {
      return std::move(function)(e);
    }
  }
};

/// What finally() makes of its function.
template <typename T, typename Function>
struct last_step {
  Function function;
  bool passes_cancellation = false;  // as above

  T operator()(future<T> done) {
    static_assert(std::is_invocable_v<Function>, "finally: the function must take no argument");
    static_cast<void>(std::move(function)());
    passes_cancellation = done.cancelled();
    return pass_on(std::move(done));
  }
};

template <typename T, typename Function>
struct then_traits {
  // Who can take either, such as a generic lambda, is given the value.
  static constexpr bool takes_value = [] {
    if constexpr (std::is_void_v<T>) {
      return std::is_invocable_v<Function>;
    } else {
      return std::is_invocable_v<Function, typename future<T>::const_result>;
    }
  }();
  static constexpr bool whole =
      std::conjunction_v<std::bool_constant<!takes_value>, std::is_invocable<Function, future<T>>>;

  static auto result() {
    if constexpr (whole) {
      return std::type_identity<std::invoke_result_t<Function, future<T>>>{};
    } else if constexpr (std::is_void_v<T>) {
      static_assert(std::is_invocable_v<Function>,
                    "then: the function must take no argument, or the future<void>");
      return std::type_identity<std::invoke_result_t<Function>>{};
    } else {
      static_assert(std::is_invocable_v<Function, typename future<T>::const_result>,
                    "then: the function must take the value (as const T&), or the future<T>");
      return std::type_identity<std::invoke_result_t<Function, typename future<T>::const_result>>{};
    }
  }
  using result_type = typename decltype(result())::type;

  /// If the function returns a future, one of what that has.
  template <typename F>
  static auto make(executor* where, const future<T>& from, F&& function) {
    if constexpr (is_future<result_type>) {
      return flatten(make_unflattened(where, from, std::forward<F>(function)));
    } else {
      return make_unflattened(where, from, std::forward<F>(function));
    }
  }

  template <typename F>
  static future<result_type> make_unflattened(executor* where, const future<T>& from,
                                              F&& function) {
    // Throws if it is empty, before there is a state that would wait for it.
    access::state_of(from);
    auto* next =
        new then_state<T, Function, result_type, whole>{where, from, std::forward<F>(function)};
    auto result =
        access::make(ref<state<result_type>>{next, typename ref<state<result_type>>::adopt{}});
    next->listen();
    return result;
  }
};

}  // namespace cadre::detail
