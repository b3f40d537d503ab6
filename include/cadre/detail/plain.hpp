// SPDX-License-Identifier: MIT
// Which values are decoded and destroyed without a line of the user's code. A thread that others depend
// on decodes only those.
#pragma once

#include <cadre/codec.hpp>

#include <type_traits>

namespace cadre::detail {

template <typename T>
constexpr bool find_plain(bool as_key);

template <typename... T>
constexpr bool all_plain(type_list<T...>, bool as_key) {
  return (find_plain<std::remove_const_t<T>>(as_key) && ...);
}

/// Its allocator, and what compares or hashes its keys, are the standard library's.
template <typename T>
constexpr bool has_std_policies() {
  bool all = is_of_std<T>;
  if constexpr (requires { typename T::allocator_type; }) {
    all = all && is_of_std<typename T::allocator_type>;
  }
  if constexpr (requires { typename T::key_compare; }) {
    all = all && is_of_std<typename T::key_compare>;
  }
  if constexpr (requires { typename T::hasher; }) {
    all = all && is_of_std<typename T::hasher> && is_of_std<typename T::key_equal>;
  }
  return all;
}

/// As a key, an enumeration or a struct is compared or hashed by what may be the user's.
template <typename T>
constexpr bool find_plain(bool as_key) {
  constexpr kind shape = kind_of<T>;
  if constexpr (has_own_codec<T> || shape == kind::none || shape == kind::serialized ||
                shape == kind::saved) {
    return false;
  } else if constexpr (shape == kind::number || shape == kind::boolean) {
    return true;
  } else if constexpr (shape == kind::enumeration || shape == kind::empty) {
    return !as_key && std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>;
  } else if constexpr (shape == kind::aggregate) {
    // Else its destructor may be the user's.
    if constexpr (std::is_trivially_copyable_v<T>) {
      return !as_key && all_plain(parts_of<T>(), false);
    } else {
      return false;
    }
  } else if constexpr (shape == kind::container) {
    constexpr bool keyed = set_like<T> || map_like<T>;
    if constexpr (has_std_policies<T>()) {
      return all_plain(parts_of<T>(), as_key || keyed);
    } else {
      return false;
    }
  } else {
    return all_plain(parts_of<T>(), as_key);
  }
}

template <typename T>
constexpr bool is_plain_type() {
  if constexpr (std::is_void_v<T>) {
    return true;
  } else {
    return find_plain<T>(false);
  }
}

}  // namespace cadre::detail
