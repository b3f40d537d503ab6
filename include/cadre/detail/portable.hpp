// SPDX-License-Identifier: MIT
// Which calls may leave the process: the compile-time test of executor::submit. And how a portable
// callable becomes bytes.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <cadre/bind.hpp>
#include <cadre/codec.hpp>
#include <cadre/detail/call.hpp>

namespace cadre {

template <typename Function>
struct error_keeper;  // outcome.hpp

}  // namespace cadre

namespace cadre::detail {

template <typename Function, bool Lvalues>
struct loop_body;  // for_each_start.hpp

template <typename Function>
inline constexpr bool is_function_pointer =
    std::is_pointer_v<Function> && std::is_function_v<std::remove_pointer_t<Function>>;

/// A function or a member, or an object whose type alone says what it does (a captureless lambda, a stateless
/// functor), or an aggregate functor, whose members travel as values. A lambda with captures is
/// none of them: nothing tells a captured value from a captured address.
template <typename Function>
inline constexpr bool is_portable_callable =
    is_function_pointer<Function> || std::is_member_pointer_v<Function> ||
    (std::is_class_v<Function> &&
     ((std::is_empty_v<Function> && std::is_trivially_copyable_v<Function>) ||
      std::is_aggregate_v<Function> || has_own_codec<Function>));
template <typename Function>
inline constexpr bool is_portable_callable<error_keeper<Function>> = is_portable_callable<Function>;
template <typename Function, bool Lvalues>
inline constexpr bool is_portable_callable<loop_body<Function, Lvalues>> =
    is_portable_callable<Function>;
template <typename Function, typename... Args>
inline constexpr bool is_portable_callable<bound_function<Function, Args...>> =
    is_portable_callable<Function>;

template <typename T>
concept address_of_others = is_address(judgement<T>::why);

// What checks returns auto: only then the compiler looks into it at once, and what it finds is the first
// error that the user reads.

/// Index and T are for the compiler's notes: the argument by its number, from 0.
template <std::size_t Index, typename T>
constexpr auto check_argument() {
  static_assert(!address_of_others<T>,
                "cadre: an argument is a pointer, a reference or a view, or contains one, which "
                "means nothing in another process; pass the value itself (std::string, "
                "std::vector)");
  if constexpr (!address_of_others<T>) check_encodable<T>();
}

template <typename... Args>
constexpr auto check_arguments() {
  [&]<std::size_t... Index>(std::index_sequence<Index...>) {
    (check_argument<Index, Args>(), ...);
  }(std::index_sequence_for<Args...>{});
}

template <typename T>
constexpr auto check_result() {
  if constexpr (!std::is_void_v<T>) {
    static_assert(!address_of_others<T>,
                  "cadre: the result is a pointer, a reference or a view, or contains one, which "
                  "means nothing in another process; return the value itself (std::string, "
                  "std::vector)");
    if constexpr (!address_of_others<T>) check_encodable<std::remove_const_t<T>>();
  }
}

/// What travels with the callable: its members, or what it binds.
template <typename Function>
constexpr auto check_state(std::type_identity<Function>) {
  if constexpr (std::is_class_v<Function> && !std::is_empty_v<Function>) {
    check_encodable<Function>();
  }
}
template <typename Function, typename... Args>
constexpr auto check_state(std::type_identity<bound_function<Function, Args...>>) {
  check_state(std::type_identity<Function>{});
  check_arguments<Args...>();
}

template <typename Function>
constexpr auto check_state(std::type_identity<error_keeper<Function>>) {
  check_state(std::type_identity<Function>{});
}

template <typename Function, bool Lvalues>
constexpr auto check_state(std::type_identity<loop_body<Function, Lvalues>>) {
  check_state(std::type_identity<Function>{});
}

template <typename Function, typename... Args>
constexpr auto check_portable() {
  using callable = std::decay_t<Function>;
  static_assert(is_portable_callable<callable>,
                "cadre: this callable is not portable; through cadre::executor submit a function, "
                "a member function, a captureless lambda, an aggregate functor or "
                "cadre::bind(function, values...), and pass values as arguments; "
                "thread_pool_executor takes any callable");
  if constexpr (is_portable_callable<callable>) {
    check_state(std::type_identity<callable>{});
    check_arguments<std::decay_t<Args>...>();
    if constexpr (is_callable<Function, Args...>) check_result<call_result<Function, Args...>>();
  }
}

// --- the callable itself ---

/// How a pointer to a member function looks. Source: Itanium C++ ABI 2.3.
struct member_function {
  std::uintptr_t function;  // its address; of a virtual one its place in the table
  std::ptrdiff_t adjustment;

  bool is_virtual() const noexcept {
#if defined(__aarch64__) || defined(__arm__)
    return (adjustment & 1) != 0;
#else
    return (function & 1) != 0;
#endif
  }
};

/// Places of members are the same in all processes of the program, addresses of functions are not.
template <typename Function>
struct member_codec {
  template <typename Functions>
  static void encode(encoder& out, Function member, Functions&& functions) {
    if constexpr (std::is_member_object_pointer_v<Function>) {
      out.write(std::bit_cast<std::ptrdiff_t>(member));
    } else {
      const auto parts = std::bit_cast<member_function>(member);
      out.write(parts.adjustment);
      out.write<unsigned char>(parts.is_virtual());
      if (parts.is_virtual()) {
        out.write(parts.function);
      } else {
        functions.write(out, reinterpret_cast<void (*)()>(parts.function));
      }
    }
  }
  template <typename Functions>
  static Function decode(decoder& in, Functions&& functions) {
    if constexpr (std::is_member_object_pointer_v<Function>) {
      return std::bit_cast<Function>(in.read<std::ptrdiff_t>());
    } else {
      member_function parts{};
      parts.adjustment = in.read<std::ptrdiff_t>();
      parts.function = in.read<unsigned char>() != 0
                           ? in.read<std::uintptr_t>()
                           : reinterpret_cast<std::uintptr_t>(functions.template read<void()>(in));
      return std::bit_cast<Function>(parts);
    }
  }
};

/// How a portable callable becomes bytes. Functions is what knows the functions of the program:
/// void write(encoder&, F*), and F* read<F>(decoder&), which checks what it reads.
template <typename Function>
struct callable_codec {
  template <typename Functions>
  static void encode(encoder& out, const Function& function, Functions&& functions) {
    if constexpr (is_function_pointer<Function>) {
      functions.write(out, function);
    } else if constexpr (std::is_member_pointer_v<Function>) {
      member_codec<Function>::encode(out, function, functions);
    } else if constexpr (!std::is_empty_v<Function> || has_own_codec<Function>) {
      cadre::encode(out, function);
    }
  }
  template <typename Functions>
  static Function decode(decoder& in, Functions&& functions) {
    if constexpr (is_function_pointer<Function>) {
      return functions.template read<std::remove_pointer_t<Function>>(in);
    } else if constexpr (std::is_member_pointer_v<Function>) {
      return member_codec<Function>::decode(in, functions);
    } else if constexpr (!std::is_empty_v<Function> || has_own_codec<Function>) {
      return cadre::decode<Function>(in);
    } else {
      // It may have no default constructor, and g++ 12 takes some lambdas for no subject of bit_cast. A
      // copy of it reads nothing.
      alignas(Function) std::byte nowhere[sizeof(Function)]{};
      return *reinterpret_cast<const Function*>(nowhere);
    }
  }
};

template <typename Function, typename... Args>
struct callable_codec<bound_function<Function, Args...>> {
  using callable = bound_function<Function, Args...>;

  template <typename Functions>
  static void encode(encoder& out, const callable& bound, Functions&& functions) {
    callable_codec<Function>::encode(out, bound.function, functions);
    cadre::encode(out, bound.args);
  }
  template <typename Functions>
  static callable decode(decoder& in, Functions&& functions) {
    return {callable_codec<Function>::decode(in, functions),
            cadre::decode<std::tuple<Args...>>(in)};
  }
};

template <typename Function>
struct callable_codec<error_keeper<Function>> {
  template <typename Functions>
  static void encode(encoder& out, const error_keeper<Function>& keeper, Functions&& functions) {
    callable_codec<Function>::encode(out, keeper.function, functions);
  }
  template <typename Functions>
  static error_keeper<Function> decode(decoder& in, Functions&& functions) {
    return {callable_codec<Function>::decode(in, functions)};
  }
};

}  // namespace cadre::detail
