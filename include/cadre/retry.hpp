// SPDX-License-Identifier: MIT
// retry: a call that is made again when it throws, with growing pauses.
//
//     auto fetch = cadre::retry({.attempts = 5, .first_delay = 100ms}, &load);
//     auto page = pool.submit(fetch, url);
//     auto only_these = cadre::retry<std::system_error>({}, &load);   // others leave at once
//
// It is a callable for submit, spawn and map, which takes what the function takes; it is portable if
// the function is. The function sees the arguments as lvalues, since it may be called again, and gets
// the call's std::stop_token if it takes one first.
//
// Errors     What the last attempt threw. A stop request ends the pause, and then, too, that is thrown.
//            std::invalid_argument from retry() for a policy that makes no sense.
// Threads    The pause blocks the worker; a thread pool may start a replacement meanwhile. For a
//            worker process that dies of the call, use submit_options::retries.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/portable.hpp>

#include <chrono>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace cadre {

struct retry_policy {
  unsigned attempts = 3;  ///< in all, > 0
  std::chrono::nanoseconds first_delay = std::chrono::milliseconds{100};
  double factor = 2;  ///< of each delay to the one before, >= 1
  std::chrono::nanoseconds max_delay = std::chrono::seconds{30};
  /// Each delay is shortened at random, by up to this share of it: calls that failed together do not
  /// come back together. 0 to 1.
  double jitter = 0.5;
};

namespace detail {

CADRE_API void check(const retry_policy& policy);
/// Blocks for the delay before attempt number `attempt`, from 2; false if stop was requested.
CADRE_API bool back_off(const retry_policy& policy, unsigned attempt, const std::stop_token& stop);

template <typename Function, typename... Args>
inline constexpr bool is_retriable = std::is_invocable_v<Function&, Args&...> ||
                                     std::is_invocable_v<Function&, std::stop_token, Args&...>;

/// What retry() returns.
template <typename Function, typename... Errors>
struct retrying {
  retry_policy policy;
  Function function;

  template <typename... Args>
    requires is_retriable<Function, Args...>
  decltype(auto) operator()(std::stop_token stop, Args... args) {
    for (unsigned attempt = 1;; ++attempt) {
      try {
        if constexpr (std::is_invocable_v<Function&, std::stop_token, Args&...>) {
          return function(stop, args...);
        } else {
          return function(args...);
        }
      } catch (...) {
        if (attempt >= policy.attempts || !is_transient()) throw;
        if (!back_off(policy, attempt + 1, stop)) throw;
      }
    }
  }

 private:
  /// Of the exception that is being handled.
  static bool is_transient() {
    if constexpr (sizeof...(Errors) == 0) {
      return true;
    } else {
      return (is_a<Errors>() || ...);
    }
  }
  template <typename Error>
  static bool is_a() {
    try {
      throw;
    } catch (const Error&) {
      return true;
    } catch (...) {
      return false;
    }
  }
};

template <typename Function, typename... Errors>
inline constexpr bool is_portable_callable<retrying<Function, Errors...>> =
    is_portable_callable<Function>;

template <typename Function, typename... Errors>
constexpr auto check_state(std::type_identity<retrying<Function, Errors...>>) {
  check_state(std::type_identity<Function>{});
}

template <typename Function, typename... Errors>
struct callable_codec<retrying<Function, Errors...>> {
  using callable = retrying<Function, Errors...>;

  template <typename Functions>
  static void encode(encoder& out, const callable& call, Functions&& functions) {
    cadre::encode(out, call.policy);
    callable_codec<Function>::encode(out, call.function, functions);
  }
  template <typename Functions>
  static callable decode(decoder& in, Functions&& functions) {
    const auto policy = cadre::decode<retry_policy>(in);
    return {policy, callable_codec<Function>::decode(in, functions)};
  }
};

}  // namespace detail

/// Calls `function` until it returns, up to policy.attempts times; if Errors are given, only after
/// exceptions of these types.
template <typename... Errors, typename Function>
detail::retrying<std::decay_t<Function>, Errors...> retry(const retry_policy& policy,
                                                          Function&& function) {
  detail::check(policy);
  return {policy, std::forward<Function>(function)};
}

}  // namespace cadre
