// SPDX-License-Identifier: MIT
// The codecs of the less usual types of the standard library: error codes, dates, expected, valarray,
// forward_list, queue, stack, priority_queue. Included by codec.hpp.
#pragma once

#include <cadre/detail/codec_groups.hpp>
#include <cadre/detail/codec_values.hpp>
#include <cadre/encoder.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace cadre {
namespace detail {

/// Both throw codec_error if it is neither of the standard library nor registered.
CADRE_API void put_category(encoder& out, const std::error_category& category);
CADRE_API const std::error_category& take_category(decoder& in);
/// As that, but null if it is not registered here.
CADRE_API const std::error_category* find_category(decoder& in);
/// True if put_category() takes it.
CADRE_API bool knows_category(const std::error_category& category);
CADRE_API bool add_category(const std::error_category& category);

template <typename T>
struct builtin_codec<T, kind::error_code> {
  static constexpr std::size_t min_size = sizeof(int) + 1;
  static void encode(encoder& out, const T& value) {
    put(out, value.value());
    put_category(out, value.category());
  }
  static T decode(decoder& in) {
    const int value = take<int>(in);
    return T{value, take_category(in)};
  }
};

/// What a date is made of, and made from.
template <typename T>
constexpr auto parts_of_date(const T& date) {
  if constexpr (requires { date.year(), date.month_day_last(); }) {
    return std::tuple{date.year(), date.month_day_last()};
  } else if constexpr (requires { date.year(), date.weekday_indexed(); }) {
    return std::tuple{date.year(), date.month(), date.weekday_indexed()};
  } else if constexpr (requires { date.year(), date.weekday_last(); }) {
    return std::tuple{date.year(), date.month(), date.weekday_last()};
  } else if constexpr (requires { date.year(), date.day(); }) {
    return std::tuple{date.year(), date.month(), date.day()};
  } else if constexpr (requires { date.year(); }) {
    return std::tuple{date.year(), date.month()};
  } else if constexpr (requires { date.month(), date.weekday_indexed(); }) {
    return std::tuple{date.month(), date.weekday_indexed()};
  } else if constexpr (requires { date.month(), date.weekday_last(); }) {
    return std::tuple{date.month(), date.weekday_last()};
  } else if constexpr (requires { date.month(), date.day(); }) {
    return std::tuple{date.month(), date.day()};
  } else if constexpr (requires { date.month(); }) {
    return std::tuple{date.month()};
  } else if constexpr (requires { date.weekday(), date.index(); }) {
    return std::tuple{date.weekday(), date.index()};
  } else if constexpr (requires { date.weekday(); }) {
    return std::tuple{date.weekday()};
  } else if constexpr (requires { date.c_encoding(); }) {
    return std::tuple{date.c_encoding()};
  } else if constexpr (requires { static_cast<unsigned>(date); }) {
    return std::tuple{static_cast<unsigned>(date)};
  } else {
    return std::tuple{static_cast<int>(date)};
  }
}

template <typename T>
struct builtin_codec<T, kind::date> {
  using held = decltype(parts_of_date(std::declval<const T&>()));
  static constexpr std::size_t min_size = detail::min_size<held>();
  static void encode(encoder& out, const T& value) { put(out, parts_of_date(value)); }
  static T decode(decoder& in) { return std::make_from_tuple<T>(take<held>(in)); }
};

template <typename T>
struct builtin_codec<T, kind::expected> {
  using held = typename T::value_type;
  using failure = typename T::error_type;
  using parts =
      std::conditional_t<std::is_void_v<held>, type_list<failure>, type_list<failure, held>>;
  static constexpr std::size_t min_size = 1;
  static void encode(encoder& out, const T& value) {
    put(out, value.has_value());
    if (!value.has_value()) return put(out, value.error());
    if constexpr (!std::is_void_v<held>) put(out, *value);
  }
  static T decode(decoder& in) {
    if (!take<bool>(in)) return T{typename T::unexpected_type{taken<failure>{in}.get()}};
    if constexpr (std::is_void_v<held>) {
      return T{};
    } else {
      return T{std::in_place, taken<held>{in}.get()};
    }
  }
};

/// Elements as a vector encodes them, of what is no range of known size.
template <typename T>
struct builtin_codec<T, kind::elements> {
  using element = typename T::value_type;
  using parts = type_list<element>;
  static constexpr std::size_t min_size = sizeof(std::uint64_t);

  static void encode(encoder& out, const T& value) {
    const std::size_t size = count(value);
    out.write(std::uint64_t{size});
    if constexpr (valarray_like<T> && is_bulk<element>()) {
      if (size != 0) out.write(&value[0], size * sizeof(element));
      return;
    }
    const nesting level{out, {}};
    for (const auto& held : value) {
      put<element>(out, held);
      if constexpr (detail::min_size<element>() == 0) out.write<unsigned char>(0);
    }
  }
  static T decode(decoder& in) {
    auto all = take<std::vector<element>>(in);
    if constexpr (forward_list_like<T>) {
      return T(std::move_iterator{all.begin()}, std::move_iterator{all.end()});
    } else {
      T result(all.size());
      for (std::size_t i = 0; i < all.size(); ++i) result[i] = std::move(all[i]);
      return result;
    }
  }

 private:
  static std::size_t count(const T& value) {
    if constexpr (requires { value.size(); }) {
      return value.size();
    } else {
      std::size_t n = 0;
      for (auto at = value.begin(); at != value.end(); ++at) ++n;
      return n;
    }
  }
};

/// By its container.
template <typename T>
struct builtin_codec<T, kind::adaptor> {
  using held = typename T::container_type;
  using parts = type_list<held>;
  static constexpr std::size_t min_size = detail::min_size<held>();
  static void encode(encoder& out, const T& value) { put(out, access::container(value)); }
  static T decode(decoder& in) {
    if constexpr (requires { typename T::value_compare; }) {
      // Its constructor makes a heap of whatever has come.
      return T{typename T::value_compare{}, take<held>(in)};
    } else {
      return T{take<held>(in)};
    }
  }

 private:
  struct access : T {
    static const held& container(const T& value) { return value.*&access::c; }
  };
};

}  // namespace detail

/// Lets codes of `category` cross, alone and in a std::system_error: by its name(), which no other
/// category of the program should have. Returns true, so that it can initialise a variable at
/// namespace scope. Any thread, before the first process pool starts, in all processes alike.
inline bool register_error_category(const std::error_category& category) {
  return detail::add_category(category);
}

}  // namespace cadre
