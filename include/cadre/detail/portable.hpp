// SPDX-License-Identifier: MIT
// Which calls may leave the process: the compile-time test of executor::submit.
//
// It looks at the types alone. What a value needs in order to cross is the codec's to say.
#pragma once

#include <concepts>
#include <ranges>
#include <string_view>
#include <type_traits>

#include <cadre/detail/call.hpp>

namespace cadre::detail {

/// A function, or an object whose type alone says what it does (a captureless lambda, a stateless
/// functor), or an aggregate functor, whose members travel as values. A lambda with captures is
/// none of them: nothing tells a captured value from a captured address.
template <typename Function>
inline constexpr bool is_portable_callable =
    (std::is_pointer_v<Function> && std::is_function_v<std::remove_pointer_t<Function>>) ||
    (std::is_class_v<Function> && (std::is_empty_v<Function> || std::is_aggregate_v<Function>));

template <typename T>
inline constexpr bool is_view_of_others =
    std::same_as<T, std::string_view> ||
    (std::ranges::view<T> && std::ranges::borrowed_range<T> && std::ranges::contiguous_range<T>);

template <typename T>
inline constexpr bool is_portable_value =
    std::is_void_v<T> || !(std::is_reference_v<T> || std::is_pointer_v<T> ||
                           std::is_member_pointer_v<T> || is_view_of_others<T>);

template <typename Function, typename... Args>
constexpr void check_portable() {
  static_assert(is_portable_callable<std::decay_t<Function>>,
                "cadre: this callable is not portable; through cadre::executor submit a function, "
                "a captureless lambda or an aggregate functor, and pass values as arguments; "
                "thread_pool_executor takes any callable");
  static_assert((is_portable_value<std::decay_t<Args>> && ...),
                "cadre: an argument is a pointer, a reference or a view, which means nothing in "
                "another process; pass the value itself (std::string, std::vector)");
  if constexpr (is_callable<Function, Args...>) {
    static_assert(is_portable_value<call_result<Function, Args...>>,
                  "cadre: the result is a pointer, a reference or a view, which means nothing in "
                  "another process; return the value itself (std::string, std::vector)");
  }
}

}  // namespace cadre::detail
