// SPDX-License-Identifier: MIT
// Which types the codec takes and how: the kind of a type by its shape, and the judgement whether
// it may cross with all its parts.
//
// Types of the standard library are recognised by their name and by what they offer, so that their
// headers need not be included here. A type that is derived from one of them is not recognised: it
// may have members that would stay behind.
#pragma once

#include <cadre/encoder.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <optional>
#include <ranges>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace cadre::detail {

// --- kinds ---

enum class kind {
  none,
  number,
  boolean,
  enumeration,
  serialized,  // has serialize()
  saved,       // has save() and load()
  empty,
  array,
  optional,
  tuple,
  variant,
  unique_ptr,
  duration,
  instant,  // a time point
  complex,
  path,
  bitset,
  error_code,
  date,
  expected,
  elements,  // of what is no range of known size: forward_list, valarray
  adaptor,   // queue, stack, priority_queue
  container,
  aggregate,
};

class encode_archive;
class decode_archive;

template <typename T>
inline constexpr bool is_of_std = type_name<T>().starts_with("std::");

template <typename T>
concept serializable = requires(T& t, encode_archive& out, decode_archive& in) {
  t.serialize(out);
  t.serialize(in);
};
template <typename T>
concept savable = requires(T& t, const T& c, encode_archive& out, decode_archive& in) {
  c.save(out);
  t.load(in);
};

/// cereal's name for a value, make_nvp("x", x): the name says nothing to bytes.
template <typename T>
concept is_named_value = requires(T& t) {
  t.name;
  t.value;
} && type_name<T>().starts_with("cereal::NameValuePair<");

template <typename T>
inline constexpr bool is_array = false;
template <typename T, std::size_t N>
inline constexpr bool is_array<std::array<T, N>> = true;

template <typename T>
inline constexpr bool is_tuple = false;
template <typename... T>
inline constexpr bool is_tuple<std::tuple<T...>> = true;
template <typename T, typename U>
inline constexpr bool is_tuple<std::pair<T, U>> = true;

template <typename T>
inline constexpr bool is_optional = false;
template <typename T>
inline constexpr bool is_optional<std::optional<T>> = true;

#ifdef __SIZEOF_INT128__
__extension__ using int128 = __int128;
__extension__ using uint128 = unsigned __int128;
template <typename T>
inline constexpr bool is_number =
    std::is_arithmetic_v<T> || std::is_same_v<T, int128> || std::is_same_v<T, uint128>;
#else
template <typename T>
inline constexpr bool is_number = std::is_arithmetic_v<T>;
#endif

/// Not of a polymorphic type: the pointer may point to more than its type says.
template <typename T>
inline constexpr bool is_unique_ptr = false;
template <typename T>
inline constexpr bool is_unique_ptr<std::unique_ptr<T>> =
    std::is_object_v<T> && !std::is_array_v<T> && (!std::is_polymorphic_v<T> || std::is_final_v<T>);

template <typename T>
concept variant_like = is_of_std<T> && requires(const T& v) {
  { v.valueless_by_exception() } -> std::same_as<bool>;
  v.index();
};
template <typename T>
concept duration_like = is_of_std<T> && requires(const T& d) {
  typename T::period;
  { d.count() } -> std::same_as<typename T::rep>;
};
template <typename T>
concept time_point_like = is_of_std<T> && requires(const T& t) {
  typename T::clock;
  { t.time_since_epoch() } -> std::same_as<typename T::duration>;
};
template <typename T>
concept complex_like = is_of_std<T> && requires(const T& c) {
  { c.real() } -> std::same_as<typename T::value_type>;
  { c.imag() } -> std::same_as<typename T::value_type>;
};
template <typename T>
concept path_like = is_of_std<T> && requires(const T& p) {
  T::preferred_separator;
  { p.native() } -> std::same_as<const typename T::string_type&>;
};
template <typename T>
concept bitset_like = is_of_std<T> && requires(T& b, std::size_t i) {
  { b.test(i) } -> std::same_as<bool>;
  b.set(i);
  b.to_ullong();
};

template <typename T>
concept error_code_like = is_of_std<T> && requires(const T& e) {
  { e.value() } -> std::same_as<int>;
  e.category();
  e.message();
};
/// Of <chrono>: year, month_day, year_month_weekday_last and the like.
template <typename T>
concept date_like = is_of_std<T> && std::is_trivially_copyable_v<T> && requires(const T& date) {
  { date.ok() } -> std::same_as<bool>;
};
template <typename T>
concept expected_like = is_of_std<T> && requires(const T& e) {
  typename T::unexpected_type;
  { e.has_value() } -> std::same_as<bool>;
  e.error();
};
template <typename T>
concept forward_list_like = is_of_std<T> && requires(T& list) { list.before_begin(); };
template <typename T>
concept valarray_like = is_of_std<T> && requires(const T& array) {
  { array.sum() } -> std::same_as<typename T::value_type>;
  array.cshift(1);
  array.size();
};

/// Comparators and hashers do not travel: those of the decoded container are new ones.
template <typename T>
inline constexpr bool has_stateless_order = true;
template <typename T>
  requires requires { typename T::key_compare; }
inline constexpr bool has_stateless_order<T> = std::is_empty_v<typename T::key_compare>;
template <typename T>
  requires requires { typename T::hasher; }
inline constexpr bool has_stateless_order<T> =
    std::is_empty_v<typename T::hasher> && std::is_empty_v<typename T::key_equal>;

template <typename T>
concept adaptor_like = is_of_std<T> && requires(T& adaptor) {
  typename T::container_type;
  adaptor.pop();
};
template <typename T>
  requires(adaptor_like<T> && requires { typename T::value_compare; })
inline constexpr bool has_stateless_order<T> = std::is_empty_v<typename T::value_compare>;

template <typename T>
concept map_like = requires { typename T::mapped_type; };
template <typename T>
concept set_like = requires { typename T::key_type; } && !map_like<T>;

template <typename T>
concept container_like =
    std::ranges::input_range<const T> && std::ranges::sized_range<const T> &&
    std::default_initializable<T> && has_stateless_order<T> &&
    (set_like<T> || map_like<T> ||
     requires(T& t, typename T::value_type&& value) { t.push_back(std::move(value)); });

template <typename T>
constexpr kind kind_of_std() {
  if constexpr (variant_like<T>) return kind::variant;
  if constexpr (duration_like<T>) return kind::duration;
  if constexpr (time_point_like<T>) return kind::instant;
  if constexpr (complex_like<T>) return kind::complex;
  if constexpr (path_like<T>) return kind::path;
  if constexpr (bitset_like<T>) return kind::bitset;
  if constexpr (error_code_like<T>) return kind::error_code;
  if constexpr (date_like<T>) return kind::date;
  if constexpr (expected_like<T>) return kind::expected;
  if constexpr (forward_list_like<T> || valarray_like<T>) return kind::elements;
  if constexpr (adaptor_like<T>) return has_stateless_order<T> ? kind::adaptor : kind::none;
  if constexpr (container_like<T>) return kind::container;
  return kind::none;
}

/// Any value of its underlying type is one of it. Of another enumeration some would be undefined.
template <typename T>
concept fixed_enumeration = std::is_enum_v<T> && requires { T{std::underlying_type_t<T>{}}; };

/// Looks at T alone, not at its parts.
template <typename T>
constexpr kind find_kind() {
  if constexpr (std::is_same_v<T, bool>) {
    return kind::boolean;
  } else if constexpr (is_number<T>) {
    return kind::number;
  } else if constexpr (std::is_enum_v<T>) {
    return fixed_enumeration<T> ? kind::enumeration : kind::none;
  } else if constexpr (!std::is_class_v<T>) {
    return kind::none;
  } else if constexpr (serializable<T>) {
    return std::default_initializable<T> ? kind::serialized : kind::none;
  } else if constexpr (savable<T>) {
    return std::default_initializable<T> ? kind::saved : kind::none;
  } else if constexpr (is_array<T>) {
    return kind::array;
  } else if constexpr (is_tuple<T>) {
    return kind::tuple;
  } else if constexpr (is_optional<T>) {
    return kind::optional;
  } else if constexpr (is_unique_ptr<T>) {
    return kind::unique_ptr;
  } else if constexpr (is_of_std<T> && kind_of_std<T>() != kind::none) {
    return kind_of_std<T>();
  } else if constexpr (std::is_empty_v<T> && std::default_initializable<T> &&
                       (std::is_aggregate_v<T> || std::is_trivially_copyable_v<T>)) {
    return kind::empty;
  } else {
    if constexpr (std::is_aggregate_v<T>) {
      return shape_of<T>() == shape::plain ? kind::aggregate : kind::none;
    }
    return kind::none;
  }
}
template <typename T>
inline constexpr kind kind_of = find_kind<T>();

/// The codec of a kind; each has encode, decode, min_size and parts. See codec_values.hpp.
template <typename T, kind Kind = kind_of<T>>
struct builtin_codec;

// --- the judgement ---

enum class refusal {
  none,
  pointer,
  reference,
  view,
  array,
  unsized,
  enumeration,
  base,
  too_large,
  no_codec,
};

/// What means nothing in another process.
constexpr bool is_address(refusal why) {
  return why == refusal::pointer || why == refusal::reference || why == refusal::view;
}

/// The innermost type that is in the way, and why.
template <refusal Why, typename Culprit = void>
struct verdict {
  static constexpr refusal why = Why;
  using culprit = Culprit;
};

template <typename T>
inline constexpr bool is_view =
    std::same_as<T, std::string_view> ||
    (std::ranges::view<T> && std::ranges::borrowed_range<T> && std::ranges::contiguous_range<T>);
template <typename T>
inline constexpr bool is_view<std::initializer_list<T>> = true;

template <typename T>
inline constexpr bool owns_array = false;
template <typename T, typename Deleter>
inline constexpr bool owns_array<std::unique_ptr<T[], Deleter>> = true;

template <typename T>
inline constexpr bool is_reference =
    std::is_reference_v<T> || type_name<T>().starts_with("std::reference_wrapper<");

/// The base of codec<T> unless somebody has specialised it.
struct ours {};

/// A specialisation that is not ours.
template <typename T>
concept has_own_codec = requires { sizeof(codec<T>); } && !std::derived_from<codec<T>, ours>;

template <typename T>
concept has_codec = requires(encoder& out, decoder& in, const T& value) {
  codec<T>::encode(out, value);
  { codec<T>::decode(in) } -> std::same_as<T>;
};

/// Why T cannot cross whatever it contains.
template <typename T>
constexpr refusal refusal_of() {
  if constexpr (is_reference<T>) {
    return refusal::reference;
  } else if constexpr (std::is_pointer_v<T> || std::is_member_pointer_v<T> ||
                       std::is_null_pointer_v<T> || std::is_function_v<T>) {
    return refusal::pointer;
  } else if constexpr (std::is_array_v<T>) {
    return refusal::array;
  } else if constexpr (has_own_codec<T>) {
    return has_codec<T> ? refusal::none : refusal::no_codec;
  } else if constexpr (owns_array<T>) {
    return refusal::unsized;
  } else if constexpr (is_view<T>) {
    return refusal::view;
  } else if constexpr (kind_of<T> != kind::none) {
    return refusal::none;
  } else if constexpr (std::is_enum_v<T>) {
    return refusal::enumeration;
  } else if constexpr (std::is_class_v<T> && std::is_aggregate_v<T>) {
    constexpr shape form = shape_of<T>();
    return form == shape::has_base    ? refusal::base
           : form == shape::has_array ? refusal::array
                                      : refusal::too_large;
  } else {
    return refusal::no_codec;
  }
}

template <typename T>
constexpr auto parts_of() {
  if constexpr (requires { typename codec<T>::parts; }) {
    return typename codec<T>::parts{};
  } else {
    return type_list<>{};
  }
}

template <typename T, typename... Open>
constexpr auto judge();

template <typename... Open>
constexpr auto judge_all(type_list<>, type_list<Open...>) {
  return verdict<refusal::none>{};
}
template <typename First, typename... Rest, typename... Open>
constexpr auto judge_all(type_list<First, Rest...>, type_list<Open...>) {
  using first = decltype(judge<std::remove_const_t<First>, Open...>());
  if constexpr (first::why != refusal::none) {
    return first{};
  } else {
    return judge_all(type_list<Rest...>{}, type_list<Open...>{});
  }
}

/// T with its parts. A type that is judged already, further out, is fine for now: trees contain
/// themselves.
template <typename T, typename... Open>
constexpr auto judge() {
  if constexpr ((std::same_as<T, Open> || ...)) {
    return verdict<refusal::none>{};
  } else if constexpr (constexpr refusal why = refusal_of<T>(); why != refusal::none) {
    return verdict<why, T>{};
  } else {
    return judge_all(parts_of<T>(), type_list<T, Open...>{});
  }
}

template <typename T>
using judgement = decltype(judge<T>());

/// False for a reason against Type. A variable template, since clang's error names its arguments.
template <typename Type, bool Reason>
inline constexpr bool can_cross = !Reason;

/// Does not compile if T cannot cross, and says why. It returns auto so that the compiler looks into it at
/// once, before other errors that follow from this one. Type is the innermost one in the way.
template <typename T, refusal Why, typename Type>
constexpr auto refuse() {
  static_assert(can_cross<Type, is_address(Why)>,
                "cadre: a value contains a pointer, a reference or a view, which means nothing in "
                "another process; let it contain the value itself (std::string, std::vector)");
  static_assert(can_cross<Type, Why == refusal::array>,
                "cadre: a struct has a C array as a member, which the codec cannot see; make it a "
                "std::array, or give the struct a serialize member");
  static_assert(can_cross<Type, Why == refusal::unsized>,
                "cadre: a value contains a unique_ptr to an array, which does not know how many "
                "elements it has; make it a std::vector");
  static_assert(can_cross<Type, Why == refusal::enumeration>,
                "cadre: a value contains an enumeration without a fixed type, of which not all "
                "bytes are a value; give the enumeration a type: enum e : int");
  static_assert(can_cross<Type, Why == refusal::base>,
                "cadre: a struct has a base, which the codec cannot see; make the base a member, "
                "or give the struct a serialize member");
  static_assert(can_cross<Type, Why == refusal::too_large>,
                "cadre: a struct has more than 32 members, counting the elements of C arrays; "
                "group some of them in a struct, or give it a serialize member");
  static_assert(can_cross<Type, Why == refusal::no_codec>,
                "cadre: a value contains a type that has no codec; make it a struct of values, "
                "give it a serialize member and a default constructor, or specialise cadre::codec");
}

template <typename T>
constexpr auto check_encodable() {
  if constexpr (judgement<T>::why != refusal::none) {
    refuse<T, judgement<T>::why, typename judgement<T>::culprit>();
  }
}

}  // namespace cadre::detail
