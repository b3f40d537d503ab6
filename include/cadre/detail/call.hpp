// SPDX-License-Identifier: MIT
// A submitted call: the state of its future, the callable and its arguments in one block.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/caught.hpp>
#include <cadre/detail/state.hpp>
#include <cadre/hooks.hpp>

#include <concepts>
#include <cstddef>
#include <new>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace cadre::detail {

// --- what a callable takes and returns ---

/// As for std::jthread: whoever can take a stop_token first, gets one.
template <typename Function, typename... Args>
inline constexpr bool takes_stop_token =
    std::is_invocable_v<std::decay_t<Function>, std::stop_token, std::decay_t<Args>...>;

template <typename Function, typename... Args>
inline constexpr bool is_callable =
    takes_stop_token<Function, Args...> ||
    std::is_invocable_v<std::decay_t<Function>, std::decay_t<Args>...>;

template <bool Stop, typename Function, typename... Args>
struct call_result_of : std::invoke_result<std::decay_t<Function>, std::decay_t<Args>...> {};
template <typename Function, typename... Args>
struct call_result_of<true, Function, Args...>
    : std::invoke_result<std::decay_t<Function>, std::stop_token, std::decay_t<Args>...> {};

/// What the future of a call holds: what the callable returns, an rvalue reference as a value.
template <typename Function, typename... Args>
using call_result = std::conditional_t<
    std::is_rvalue_reference_v<
        typename call_result_of<takes_stop_token<Function, Args...>, Function, Args...>::type>,
    std::remove_cvref_t<
        typename call_result_of<takes_stop_token<Function, Args...>, Function, Args...>::type>,
    typename call_result_of<takes_stop_token<Function, Args...>, Function, Args...>::type>;

template <typename T>
inline constexpr bool is_result =
    std::is_void_v<T> || std::is_lvalue_reference_v<T> || std::is_move_constructible_v<T>;

/// True for a null function pointer, a null member pointer, an empty std::function and the like.
template <typename Function>
bool is_empty_callable(const Function& function) {
  if constexpr (std::is_pointer_v<Function> || std::is_member_pointer_v<Function> ||
                (std::is_class_v<Function> && !std::is_empty_v<Function> &&
                 requires { static_cast<bool>(function == nullptr); })) {
    return function == nullptr;
  } else {
    return false;
  }
}

[[noreturn]] CADRE_API void throw_empty_callable(const char* who);

/// A callable with its arguments; called once, as rvalues.
template <typename Function, typename... Args>
struct bound {
  CADRE_MAY_SHARE_ADDRESS Function function;
  std::tuple<Args...> args;

  decltype(auto) operator()() { return std::apply(std::move(function), std::move(args)); }
  decltype(auto) operator()(std::stop_token token) {
    return std::apply(
        [&](Args&&... each) -> decltype(auto) {
          return std::apply(std::move(function),
                            std::forward_as_tuple(std::move(token), std::forward<Args>(each)...));
        },
        std::move(args));
  }
};
template <typename Function>
struct bound<Function> {
  [[no_unique_address]] Function function;

  decltype(auto) operator()() { return std::apply(std::move(function), std::tuple<>{}); }
  decltype(auto) operator()(std::stop_token token) { return std::move(function)(std::move(token)); }
};

template <typename Function, typename... Args>
using bound_for = bound<std::decay_t<Function>, std::decay_t<Args>...>;

// --- the calls ---

/// Makes a callable where it is to be: it may be too large for a stack.
template <typename Make>
struct made_by {
  const Make& make;
};

/// Keeps the calls that can be asked to stop, or told by name, while they run; see run_context.
class call_registry {
 public:
  struct entry {
    state_base* call;
    entry* previous = nullptr;
    entry* next = nullptr;
  };
  virtual void enter(entry& e) noexcept = 0;
  virtual void leave(entry& e) noexcept = 0;

 protected:
  ~call_registry() = default;
};

/// Where tasks run: calls that leave their worker, to go on later. See coro.hpp.
class task_host {
 public:
  /// A task begins; until release(), shutdown() waits for it. Throws as submit() does.
  virtual void hold() = 0;
  virtual void release() noexcept = 0;
  /// Queues the rest of a held task, also while the executor shuts down, and takes over one
  /// reference to it. On an exception that stays the caller's.
  virtual void resume_task(state_base& rest, int priority) = 0;
  /// True if it has several threads, to whom tasks that are awaited at once are handed out.
  virtual bool has_thieves() const noexcept { return false; }
  /// True if this thread is the worker that was given the call by resume_task(), and nobody came for it: the
  /// caller has it again, and its reference.
  virtual bool take_back(state_base&) noexcept { return false; }
  /// The call of `e`, which is held, can be asked to stop from now on, until leave().
  virtual void enter(call_registry::entry& e) noexcept = 0;
  virtual void leave(call_registry::entry& e) noexcept = 0;
  /// True if resume_task() may run user code before it returns.
  virtual bool resumes_inline() const noexcept { return true; }

 protected:
  ~task_host() = default;
};

/// From its limit() on, the call is asked to stop if it runs, and does not run if it has not begun. At
/// once, and only if it still waits, if the limit is past. Throws what timers throw, std::bad_alloc and
/// std::system_error; the call is cancelled then.
CADRE_API void expire_in_time(state_base& call);

/// What such a call fails with.
CADRE_API std::exception_ptr expired_error(const state_base& call) noexcept;

/// Of a call with a limit, which is about to run: false if that is past. `by_submitter`: its submitter is
/// about to run it, and so has not called expire_in_time().
CADRE_API bool begins_in_time(state_base& call, bool by_submitter) noexcept;

/// A call with nothing but its callable.
template <typename T, typename Function>
class call : public state<T> {
 public:
  using result_type = T;
  using function_type = Function;
  static constexpr bool takes_token = false;

  template <typename... Parts>
  explicit call(Parts&&... parts)
      : state<T>{2},  // one reference for the future, one for the queue
        function_{std::forward<Parts>(parts)...} {}
  template <typename Make>
  explicit call(made_by<Make>&& how) : state<T>{2}, function_(how.make()) {}

  bool run(run_context& context) noexcept override {
    const auto final = this->fill([this]() -> T { return static_cast<T>(function_()); });
    function_.~Function();
    context.trivial_value =
        final == state_base::value && std::is_trivially_destructible_v<stored<T>>;
    context.about_to_publish(final == state_base::value);
    this->finish(final);
    return final == state_base::value;
  }

 protected:
  ~call() override {
    if (this->get_status() == state_base::pending) function_.~Function();
  }
  void discard() noexcept override { function_.~Function(); }

  union {
    Function function_;
  };
};

/// A call with a name, a stop_token, a limit, or several of them.
template <typename T, typename Function, bool TakesToken>
class tracked_call : public state<T> {
 public:
  using result_type = T;
  using function_type = Function;
  static constexpr bool takes_token = TakesToken;

  template <typename... Parts>
  explicit tracked_call(std::string name, std::stop_token stop, time_point limit, Parts&&... parts)
      : state<T>{2},
        function_{std::forward<Parts>(parts)...},
        name_{std::move(name)},
        source_{TakesToken ? std::stop_source{} : std::stop_source{std::nostopstate}},
        stop_{std::move(stop)},
        limit_{limit} {}
  template <typename Make>
  tracked_call(std::string name, std::stop_token stop, time_point limit, made_by<Make>&& how)
      : state<T>{2},
        function_(how.make()),
        name_{std::move(name)},
        source_{TakesToken ? std::stop_source{} : std::stop_source{std::nostopstate}},
        stop_{std::move(stop)},
        limit_{limit} {}

  /// From now on the token given at submit cancels or stops the call.
  void follow_token() {
    if (stop_.stop_possible()) callback_.emplace(stop_, on_stop{this});
  }

  bool run(run_context& context) noexcept override {
    if (limit_ != never && !begins_in_time(*this, context.registry == nullptr)) {
      context.about_to_publish(false);
      this->fail(expired_error(*this));
      return false;
    }
    call_registry::entry entry{this};
    if (context.registry != nullptr) context.registry->enter(entry);
    const auto final = this->fill([this]() -> T {
      const std::stop_token token = TakesToken ? source_.get_token() : stop_;
      const token_scope scope{&token};
      if constexpr (TakesToken) {
        return static_cast<T>(function_(source_.get_token()));
      } else {
        return static_cast<T>(function_());
      }
    });
    function_.~Function();
    if (context.registry != nullptr) context.registry->leave(entry);
    context.about_to_publish(final == state_base::value);
    this->finish(final);
    return final == state_base::value;
  }

  bool request_stop() noexcept override {
    if (this->get_status() != state_base::running) return state_base::request_stop();
    return source_.request_stop();
  }
  std::string_view name() const noexcept override { return name_; }
  time_point limit() const noexcept override { return limit_; }

 protected:
  struct on_stop {
    tracked_call* self;
    void operator()() const noexcept {
      if (!self->try_add_ref()) return;  // its destructor has begun, and waits for this function
      if (!self->cancel()) self->request_stop();
      self->release();
    }
  };

  ~tracked_call() override {
    callback_.reset();
    this->report_if_unobserved(name_);
    if (this->get_status() == state_base::pending) function_.~Function();
  }
  void discard() noexcept override { function_.~Function(); }

  union {
    Function function_;
  };

 private:
  std::string name_;
  std::stop_source source_;
  std::stop_token stop_;
  const time_point limit_;
  std::optional<std::stop_callback<on_stop>> callback_;
};

/// A call without a future: nobody can cancel it, wait for it, or ask what became of it.
template <typename Function>
class posted_call final : public state_base {
 public:
  template <typename... Parts>
  explicit posted_call(Parts&&... parts)
      : state_base{posted}, function_{std::forward<Parts>(parts)...} {}

  bool run(run_context& context) noexcept override {
    bool returned = true;
    try {
      static_cast<void>(function_());
    } catch (...) {
      returned = false;
      report_unhandled("posted call", {}, caught({}));
    }
    discard();
    context.trivial_value = true;
    context.about_to_publish(returned);
    return returned;
  }

  void fail(std::exception_ptr reason) noexcept override {
    discard();
    // Without a reason it was cancelled, which somebody asked for.
    if (reason) report_unhandled("posted call", {}, std::move(reason));
  }

  /// Destroys the callable, run or unrun.
  void discard() noexcept override {
    function_.~Function();
    destroyed_ = true;
  }

 private:
  ~posted_call() override {
    if (!destroyed_) function_.~Function();
  }

  union {
    Function function_;
  };
  bool destroyed_ = false;
};

}  // namespace cadre::detail
