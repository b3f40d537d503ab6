// SPDX-License-Identifier: MIT
// The codecs of structs, member by member, and of classes with serialize(), or save() and load().
// Included by codec.hpp.
#pragma once

#include <cadre/detail/codec_values.hpp>

#include <cstddef>
#include <type_traits>
#include <utility>

namespace cadre::detail {

template <typename... Members>
constexpr std::size_t sum_of_min_sizes(type_list<Members...>) {
  return (std::size_t{0} + ... + min_size<Members>());
}

template <typename T>
struct builtin_codec<T, kind::aggregate> {
  using parts = member_types<T>;
  static constexpr std::size_t min_size = sum_of_min_sizes(parts{});

  static void encode(encoder& out, const T& value) {
    if constexpr (is_bulk<T>()) {
      out.write(&value, sizeof value);
    } else {
      visit_members(value, [&](auto, const auto&... members) { (put(out, members), ...); });
    }
  }
  static T decode(decoder& in) {
    if constexpr (is_bulk<T>()) {
      return take_bulk<T>(in);
    } else {
      return decode_members(in, parts{});
    }
  }

 private:
  template <typename... Members>
  static T decode_members(decoder& in, type_list<Members...>) {
    return T{take<Members>(in)...};
  }
};

/// What a serialize() or save() is called with. As with cereal: ar(a, b), ar & a, ar << a.
class encode_archive {
 public:
  using is_saving = std::true_type;
  using is_loading = std::false_type;

  explicit encode_archive(encoder& out) noexcept : out_{out} {}

  template <typename... T>
  encode_archive& operator()(const T&... values) {
    (add(values), ...);
    return *this;
  }
  template <typename T>
  encode_archive& operator&(const T& value) {
    return (*this)(value);
  }
  template <typename T>
  encode_archive& operator<<(const T& value) {
    return (*this)(value);
  }

 private:
  template <typename T>
  void add(const T& value) {
    if constexpr (std::is_array_v<T>) {
      for (const auto& element : value) add(element);
    } else if constexpr (is_named_value<T>) {
      add(value.value);
    } else {
      check_encodable<T>();
      if constexpr (judgement<T>::why == refusal::none) put(out_, value);
    }
  }

  encoder& out_;
};

/// What a serialize() or load() is called with.
class decode_archive {
 public:
  using is_saving = std::false_type;
  using is_loading = std::true_type;

  explicit decode_archive(decoder& in) noexcept : in_{in} {}

  template <typename... T>
  decode_archive& operator()(T&&... values) {
    (fill(values), ...);
    return *this;
  }
  template <typename T>
  decode_archive& operator&(T&& value) {
    return (*this)(value);
  }
  template <typename T>
  decode_archive& operator>>(T&& value) {
    return (*this)(value);
  }

 private:
  template <typename T>
  void fill(T& value) {
    if constexpr (std::is_array_v<T>) {
      for (auto& element : value) fill(element);
    } else if constexpr (is_named_value<T>) {
      fill(value.value);
    } else {
      check_encodable<T>();
      if constexpr (judgement<T>::why == refusal::none) value = taken<T>{in_}.get();
    }
  }

  decoder& in_;
};

template <typename T>
struct builtin_codec<T, kind::serialized> {
  static void encode(encoder& out, const T& value) {
    const nesting level{out, {}};
    encode_archive archive{out};
    const_cast<T&>(value).serialize(archive);  // one function for both directions: it is not const
  }
  static T decode(decoder& in) {
    const nesting level{in, {}};
    T value{};
    decode_archive archive{in};
    value.serialize(archive);
    return value;
  }
};

template <typename T>
struct builtin_codec<T, kind::saved> {
  static void encode(encoder& out, const T& value) {
    const nesting level{out, {}};
    encode_archive archive{out};
    value.save(archive);
  }
  static T decode(decoder& in) {
    const nesting level{in, {}};
    T value{};
    decode_archive archive{in};
    value.load(archive);
    return value;
  }
};

}  // namespace cadre::detail
