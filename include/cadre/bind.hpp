// SPDX-License-Identifier: MIT
// bind: a function with its first arguments, as a value that may leave the process.
//
//     auto job = cadre::bind(&simulate, 42, options);
//     pool.submit(job);                           // calls simulate(42, options)
//     pool.map(cadre::bind(&scale, 2.0), values)  // calls scale(2.0, value) for each
//
// A lambda with captures cannot leave the process: nothing tells a captured value from a captured
// address. What bind() holds are values, copied or moved in; it is portable if they are. A string
// literal is held as a std::string.
//
// Call       The bound arguments come first, then those of the call. A callable that takes a
//            std::stop_token first gets that of the call, before the bound ones. Called as an
//            rvalue, once, the arguments are moved; called as an lvalue they stay, and the
//            callable sees them as lvalues.
// Source     Python's functools.partial, std::bind_front.
#pragma once

#include <cadre/config.hpp>

#include <cstddef>
#include <stop_token>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

namespace cadre {

namespace detail {

/// What an argument, deduced as Arg, becomes on its way to another process: a string literal is the
/// string that it says, not its address here.
template <typename Arg>
struct crossing_of {
  using type = Arg;
};
template <std::size_t Size>
struct crossing_of<const char (&)[Size]> {
  using type = std::string;
};
template <typename Arg>
using crossing = typename crossing_of<Arg>::type;

/// Calls `function` with `args`, a tuple, and then with `more`.
template <typename Function, typename Args, typename... More>
constexpr decltype(auto) call_bound(Function&& function, Args&& args, More&&... more) {
  return std::apply(
      [&](auto&&... first) -> decltype(auto) {
        // std::invoke() would be another <functional>.
        return std::apply(std::forward<Function>(function),
                          std::forward_as_tuple(std::forward<decltype(first)>(first)...,
                                                std::forward<More>(more)...));
      },
      std::forward<Args>(args));
}

}  // namespace detail

/// What bind() returns. An aggregate, so that its parts can be seen and sent.
template <typename Function, typename... Args>
struct bound_function {
  CADRE_MAY_SHARE_ADDRESS Function function;
  std::tuple<Args...> args;

  template <typename... More>
    requires std::is_invocable_v<Function, Args..., More...>
  constexpr decltype(auto) operator()(More&&... more) && {
    return detail::call_bound(std::move(function), std::move(args), std::forward<More>(more)...);
  }
  template <typename... More>
    requires std::is_invocable_v<Function&, Args&..., More...>
  constexpr decltype(auto) operator()(More&&... more) & {
    return detail::call_bound(function, args, std::forward<More>(more)...);
  }
  template <typename... More>
    requires std::is_invocable_v<const Function&, const Args&..., More...>
  constexpr decltype(auto) operator()(More&&... more) const& {
    return detail::call_bound(function, args, std::forward<More>(more)...);
  }

  template <typename... More>
    requires std::is_invocable_v<Function, std::stop_token, Args..., More...>
  decltype(auto) operator()(std::stop_token token, More&&... more) && {
    return detail::call_bound(std::move(function),
                              std::tuple_cat(std::tuple{std::move(token)}, std::move(args)),
                              std::forward<More>(more)...);
  }
};

template <typename Function, typename... Args>
constexpr bound_function<std::decay_t<Function>, std::decay_t<detail::crossing<Args>>...> bind(
    Function&& function, Args&&... args) {
  return {std::forward<Function>(function), {std::forward<Args>(args)...}};
}

}  // namespace cadre
