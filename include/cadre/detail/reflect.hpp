// SPDX-License-Identifier: MIT
// The members of a plain struct, without a macro: how many there are, of which types, and a way to
// visit them. Also the name of a type.
//
// The members are counted by brace-initialisation from values that convert to anything, and
// visited by a structured binding. What that cannot see through is found beforehand, so that the
// codec can refuse it in a sentence: members that are C arrays, bases, more than 32 members.
#pragma once

#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

namespace cadre::detail {

template <typename... T>
struct type_list {};

/// The name of T as the compiler spells it.
template <typename T>
constexpr auto type_name() noexcept {
  constexpr std::string_view text{__PRETTY_FUNCTION__};
  constexpr std::size_t begin = text.find("T = ") + 4;
  return text.substr(begin, text.size() - 1 - begin);
}

inline constexpr std::size_t max_members = 32;

// Not constexpr: clang would evaluate, and so instantiate, every constructor that could take it.
struct any_value {
  template <typename T>
  operator T&() const& noexcept;
  template <typename T>
  operator T&&() const&& noexcept;
};

/// Converts to the bases of T only.
template <typename T>
struct any_base {
  template <typename Base>
    requires(std::is_base_of_v<Base, T> && !std::is_same_v<Base, T>)
  operator Base&() const& noexcept;
  template <typename Base>
    requires(std::is_base_of_v<Base, T> && !std::is_same_v<Base, T>)
  operator Base&&() const&& noexcept;
};

struct no_value {};

template <std::size_t>
using any_at = any_value;

template <typename T, std::size_t... I>
constexpr bool takes(std::index_sequence<I...>) {
  return requires { T{any_at<I>{}...}; };
}

/// Whether T{any..., {}, any...} compiles.
template <typename T, std::size_t... Before, std::size_t... After>
constexpr bool takes_braces(std::index_sequence<Before...>, std::index_sequence<After...>) {
  return requires { T{any_at<Before>{}..., {}, any_at<After>{}...}; };
}

/// How many initialisers T takes, up to max_members + 1. From above, because a member that is a
/// reference makes all smaller numbers wrong.
template <typename T, std::size_t N = max_members + 1>
constexpr std::size_t count_members() {
  if constexpr (N == 0 || takes<T>(std::make_index_sequence<N>{})) {
    return N;
  } else {
    return count_members<T, N - 1>();
  }
}

/// A C array takes one initialiser for each element when its braces are left out, and one in all
/// when they are not.
template <typename T, std::size_t N, std::size_t... I>
constexpr bool has_array_among(std::index_sequence<I...>) {
  return (
      (takes_braces<T>(std::make_index_sequence<I>{}, std::index_sequence<>{}) &&
       !takes_braces<T>(std::make_index_sequence<I>{}, std::make_index_sequence<N - I - 1>{})) ||
      ...);
}

enum class shape { plain, has_base, has_array, too_large };

template <typename T>
constexpr shape shape_of() {
  constexpr std::size_t count = count_members<T>();
  if constexpr (
      requires { T{any_base<T>{}}; } && !requires { T{no_value{}}; }) {
    return shape::has_base;
  } else if constexpr (has_array_among<T, count>(std::make_index_sequence<count>{})) {
    return shape::has_array;
  } else {
    return count > max_members ? shape::too_large : shape::plain;
  }
}

// The macros of this file: CADRE_TYPES(a, b) is decltype(a), decltype(b), because a member that is
// a reference shows in the declared type of its name only.
#define CADRE_AGAIN() CADRE_TYPES_NEXT
#define CADRE_PARENTHESES ()
#define CADRE_TYPES_NEXT(a, ...) \
  decltype(a) __VA_OPT__(, CADRE_AGAIN CADRE_PARENTHESES(__VA_ARGS__))
#define CADRE_SCAN_1(...) __VA_ARGS__
#define CADRE_SCAN_2(...) CADRE_SCAN_1(CADRE_SCAN_1(CADRE_SCAN_1(CADRE_SCAN_1(__VA_ARGS__))))
#define CADRE_SCAN_3(...) CADRE_SCAN_2(CADRE_SCAN_2(CADRE_SCAN_2(CADRE_SCAN_2(__VA_ARGS__))))
#define CADRE_TYPES(...) CADRE_SCAN_3(CADRE_SCAN_3(CADRE_TYPES_NEXT(__VA_ARGS__)))
#define CADRE_VISIT(count, ...)                                       \
  else if constexpr (N == count) {                                    \
    auto& [__VA_ARGS__] = value;                                      \
    return visit(type_list<CADRE_TYPES(__VA_ARGS__)>{}, __VA_ARGS__); \
  }
#define CADRE_M8 m0, m1, m2, m3, m4, m5, m6, m7
#define CADRE_M16 CADRE_M8, m8, m9, m10, m11, m12, m13, m14, m15
#define CADRE_M24 CADRE_M16, m16, m17, m18, m19, m20, m21, m22, m23

/// visit(type_list<declared types...>, members...), of a T of shape::plain.
template <typename T, typename Visitor>
constexpr decltype(auto) visit_members(T& value, Visitor&& visit) {
  constexpr std::size_t N = count_members<std::remove_const_t<T>>();
  if constexpr (N == 0) return visit(type_list<>{});
  // clang-format off
  CADRE_VISIT(1, m0)
  CADRE_VISIT(2, m0, m1)
  CADRE_VISIT(3, m0, m1, m2)
  CADRE_VISIT(4, m0, m1, m2, m3)
  CADRE_VISIT(5, m0, m1, m2, m3, m4)
  CADRE_VISIT(6, m0, m1, m2, m3, m4, m5)
  CADRE_VISIT(7, m0, m1, m2, m3, m4, m5, m6)
  CADRE_VISIT(8, CADRE_M8)
  CADRE_VISIT(9, CADRE_M8, m8)
  CADRE_VISIT(10, CADRE_M8, m8, m9)
  CADRE_VISIT(11, CADRE_M8, m8, m9, m10)
  CADRE_VISIT(12, CADRE_M8, m8, m9, m10, m11)
  CADRE_VISIT(13, CADRE_M8, m8, m9, m10, m11, m12)
  CADRE_VISIT(14, CADRE_M8, m8, m9, m10, m11, m12, m13)
  CADRE_VISIT(15, CADRE_M8, m8, m9, m10, m11, m12, m13, m14)
  CADRE_VISIT(16, CADRE_M16)
  CADRE_VISIT(17, CADRE_M16, m16)
  CADRE_VISIT(18, CADRE_M16, m16, m17)
  CADRE_VISIT(19, CADRE_M16, m16, m17, m18)
  CADRE_VISIT(20, CADRE_M16, m16, m17, m18, m19)
  CADRE_VISIT(21, CADRE_M16, m16, m17, m18, m19, m20)
  CADRE_VISIT(22, CADRE_M16, m16, m17, m18, m19, m20, m21)
  CADRE_VISIT(23, CADRE_M16, m16, m17, m18, m19, m20, m21, m22)
  CADRE_VISIT(24, CADRE_M24)
  CADRE_VISIT(25, CADRE_M24, m24)
  CADRE_VISIT(26, CADRE_M24, m24, m25)
  CADRE_VISIT(27, CADRE_M24, m24, m25, m26)
  CADRE_VISIT(28, CADRE_M24, m24, m25, m26, m27)
  CADRE_VISIT(29, CADRE_M24, m24, m25, m26, m27, m28)
  CADRE_VISIT(30, CADRE_M24, m24, m25, m26, m27, m28, m29)
  CADRE_VISIT(31, CADRE_M24, m24, m25, m26, m27, m28, m29, m30)
  CADRE_VISIT(32, CADRE_M24, m24, m25, m26, m27, m28, m29, m30, m31)
  // clang-format on
}

#undef CADRE_AGAIN
#undef CADRE_PARENTHESES
#undef CADRE_TYPES_NEXT
#undef CADRE_SCAN_1
#undef CADRE_SCAN_2
#undef CADRE_SCAN_3
#undef CADRE_TYPES
#undef CADRE_VISIT
#undef CADRE_M8
#undef CADRE_M16
#undef CADRE_M24

/// The declared types of the members of a T of shape::plain, as a type_list.
template <typename T>
using member_types =
    decltype(visit_members(std::declval<T&>(), [](auto types, auto&...) { return types; }));

}  // namespace cadre::detail
