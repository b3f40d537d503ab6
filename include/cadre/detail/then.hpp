// SPDX-License-Identifier: MIT
// The state of a then-future: a listener of one future and the state of the next.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/state.hpp>
#include <cadre/future.hpp>

#include <exception>
#include <type_traits>
#include <utility>

namespace cadre::detail {

/// Hands `call` (and a reference to it) to `where`; if that refuses, fails the call with the reason.
CADRE_API void submit_then(executor& where, state_base& call) noexcept;

/// Passes on an exception (observed thereby) or a cancellation. False if `from` has a value.
template <typename T, typename Result>
bool forward_failure(state<T>& from, state<Result>& to) noexcept {
  switch (from.get_status()) {
    case state_base::cancelled:
      to.cancel();
      return true;
    case state_base::error:
      from.mark_observed();
      if (to.try_start()) to.fail(from.stored_error());
      return true;
    default:
      return false;
  }
}

/// `Whole` callables take the future, others its value.
template <typename T, typename Function, typename Result, bool Whole>
class then_state final : public state<Result>, private listener {
 public:
  template <typename F>
  then_state(executor* where, const future<T>& upstream, F&& function)
      : state<Result>{2},  // one reference for the future, one for the listener
        listener{&on_upstream_done, true},
        where_{where},
        upstream_{upstream},
        function_{std::forward<F>(function)} {}

  ~then_state() override {
    if (!destroyed_) function_.~Function();
  }

  void listen() { add_callback(access::state_of(upstream_), *this); }

  bool run(run_context& context) noexcept override {
    const auto final = this->fill([this]() -> Result { return call(); });
    discard();
    context.about_to_publish(final == state_base::value);
    this->finish(final);
    return final == state_base::value;
  }

  void for_each_awaited(void (*visit)(state_base&, void*), void* context) override {
    visit(access::state_of(upstream_), context);
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
      run_context context;
      if (self.try_start()) self.run(context);
    }
    self.release();
  }

  Result call() {
    if constexpr (Whole) {
      return std::move(function_)(upstream_);
    } else if constexpr (std::is_void_v<T>) {
      return std::move(function_)();
    } else {
      return std::move(function_)(upstream_.get());
    }
  }

  void discard() noexcept override {
    function_.~Function();
    destroyed_ = true;
  }

  executor* where_;
  future<T> upstream_;
  union {
    Function function_;
  };
  bool destroyed_ = false;
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

  template <typename F>
  static future<result_type> make(executor* where, const future<T>& upstream, F&& function) {
    auto* next =
        new then_state<T, Function, result_type, whole>{where, upstream, std::forward<F>(function)};
    auto result =
        access::make(ref<state<result_type>>{next, typename ref<state<result_type>>::adopt{}});
    next->listen();
    return result;
  }
};

}  // namespace cadre::detail
