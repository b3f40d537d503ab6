// SPDX-License-Identifier: MIT
// What the built-in codecs share, and those of single values: numbers, times, paths. Included by
// codec.hpp.
//
// Each codec has: encode(), decode(); min_size, the fewest bytes that a value takes, by which a count is
// checked; parts, the types that must be encodable as well.
#pragma once

#include <cadre/detail/codec_parts.hpp>
#include <cadre/detail/codec_rules.hpp>

#include <array>
#include <bit>
#include <cfloat>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

namespace cadre {

template <typename T>
  requires(detail::kind_of<T> != detail::kind::none)
struct codec<T> : detail::builtin_codec<T>, detail::ours {};

namespace detail {

/// One level of nesting, and the name of the outermost type, for messages.
template <typename Stream>
class nesting {
 public:
  nesting(Stream& stream, std::string_view subject) : stream_{stream} {
    if (stream.depth_ == max_codec_depth) stream.too_deep();
    if (stream.depth_ == 0) stream.subject_ = subject;
    if constexpr (std::is_same_v<Stream, decoder>) {
      if (stream.depth_ == 0) stream.stack_end_ = Stream::unknown;  // it may be another thread now
      if (stream.depth_ >= on_any_stack) stream.check_stack();
    }
    ++stream.depth_;
  }
  nesting(const nesting&) = delete;
  nesting& operator=(const nesting&) = delete;
  ~nesting() { --stream_.depth_; }

  /// Throws if the stack of this thread is almost used up.
  static void check_stack(Stream& stream) { stream.check_stack(); }

 private:
  // So many levels take no more than a small stack has. Most values have no more.
  static constexpr unsigned on_any_stack = 3;

  Stream& stream_;
};

/// What its codec encodes may be made for that alone: by a codec of the user's, or a serialize().
template <typename T>
inline constexpr bool encodes_copies =
    has_own_codec<T> || kind_of<T> == kind::serialized || kind_of<T> == kind::saved;

template <typename T>
void put(encoder& out, const T& value) {
  if constexpr (encodes_copies<T>) {
    const apart::passing within{out};
    codec<T>::encode(out, value);
  } else {
    codec<T>::encode(out, value);
  }
}
template <typename T>
std::remove_const_t<T> take(decoder& in) {
  return codec<std::remove_const_t<T>>::decode(in);
}

/// Values above this size are made on the heap. More would use up a small stack where values nest;
/// less would allocate memory for what is cheaply moved.
inline constexpr std::size_t most_on_stack = 4096;

/// What `make()` returns, made in its place: on the heap if it is large for a stack.
template <typename T, bool Large = (sizeof(T) > most_on_stack)>
class placed {
 public:
  template <typename Make>
  explicit placed(const Make& make) : value_(make()) {}
  T& operator*() noexcept { return value_; }

 private:
  T value_;
};
template <typename T>
class placed<T, true> {
 public:
  template <typename Make>
  explicit placed(const Make& make) : value_{new T(make())} {}
  T& operator*() noexcept { return *value_; }

 private:
  std::unique_ptr<T> value_;
};

/// The next value, on its way into another one. Not by `placed`: each function more is time here.
template <typename T, bool Large = (sizeof(T) > most_on_stack)>
class taken {
 public:
  explicit taken(decoder& in) : value_(take<T>(in)) {}
  std::remove_const_t<T>&& get() noexcept { return std::move(value_); }

 private:
  std::remove_const_t<T> value_;
};
template <typename T>
class taken<T, true> {
 public:
  explicit taken(decoder& in) : value_{new std::remove_const_t<T>(take<T>(in))} {}
  std::remove_const_t<T>&& get() noexcept { return std::move(*value_); }

 private:
  std::unique_ptr<std::remove_const_t<T>> value_;
};

template <typename T>
constexpr std::size_t min_size() {
  if constexpr (requires { codec<std::remove_const_t<T>>::min_size; }) {
    return codec<std::remove_const_t<T>>::min_size;
  } else {
    return 0;
  }
}

// <algorithm> is 10,000 lines.
constexpr std::size_t smallest(std::initializer_list<std::size_t> numbers) {
  std::size_t result = *numbers.begin();
  for (const std::size_t number : numbers) result = number < result ? number : result;
  return result;
}

// --- what goes by memcpy ---

template <typename T>
constexpr bool is_bulk();

template <typename T, typename... Members>
constexpr bool is_bulk_struct(type_list<Members...>) {
  return (is_bulk<std::remove_const_t<Members>>() && ...) && (sizeof(Members) + ...) == sizeof(T);
}

/// All bytes of T are its value, and any bytes are a value: not of a bool. Padding is not sent: it may hold what nobody meant to tell.
template <typename T>
constexpr bool is_bulk() {
  if constexpr (!has_own_codec<T> && std::is_trivially_copyable_v<T>) {
    if constexpr (kind_of<T> == kind::number) {
      return !std::is_same_v<T, long double>;
    } else if constexpr (kind_of<T> == kind::enumeration) {
      return is_bulk<std::underlying_type_t<T>>();
    } else if constexpr (kind_of<T> == kind::array || kind_of<T> == kind::complex) {
      return is_bulk<typename T::value_type>();
    } else if constexpr (kind_of<T> == kind::aggregate) {
      return is_bulk_struct<T>(member_types<T>{});
    }
  }
  return false;
}

/// The bytes of a T that may have no default constructor.
template <typename T>
struct bytes_of {
  alignas(T) std::byte bytes[sizeof(T)];
  const T& value() const noexcept { return *reinterpret_cast<const T*>(bytes); }
};

// g++ makes a variable where the caller wants it, however large, only if it is of the outermost scope.
template <typename T>
T read_in_place(decoder& in) {
  T value;
  in.read(&value, sizeof(T));
  return value;
}

template <typename T>
T take_bulk(decoder& in) {
  if constexpr (std::is_trivially_default_constructible_v<T>) {
    return read_in_place<T>(in);
  } else if constexpr (sizeof(T) <= most_on_stack) {
    std::array<std::byte, sizeof(T)> bytes;
    in.read(bytes.data(), sizeof(T));
    return std::bit_cast<T>(bytes);
  } else {
    const auto copy = std::make_unique_for_overwrite<bytes_of<T>>();
    in.read(copy->bytes, sizeof(T));
    return copy->value();
  }
}

/// Values at addresses that may not be aligned for them.
template <typename T>
class unaligned_iterator {
 public:
  using iterator_category = std::random_access_iterator_tag;
  using value_type = T;
  using difference_type = std::ptrdiff_t;
  using pointer = void;
  using reference = T;

  explicit unaligned_iterator(const std::byte* at) noexcept : at_{at} {}

  T operator*() const noexcept {
    std::array<std::byte, sizeof(T)> bytes;
    std::memcpy(bytes.data(), at_, sizeof(T));
    return std::bit_cast<T>(bytes);
  }
  unaligned_iterator& operator++() noexcept { return *this += 1; }
  unaligned_iterator operator++(int) noexcept { return std::exchange(*this, *this + 1); }
  unaligned_iterator& operator+=(difference_type n) noexcept {
    at_ += n * difference_type{sizeof(T)};
    return *this;
  }
  unaligned_iterator operator+(difference_type n) const noexcept {
    return unaligned_iterator{*this} += n;
  }
  difference_type operator-(const unaligned_iterator& other) const noexcept {
    return (at_ - other.at_) / difference_type{sizeof(T)};
  }
  bool operator==(const unaligned_iterator&) const = default;

 private:
  const std::byte* at_;
};

// --- single values ---

template <typename T>
struct builtin_codec<T, kind::number> {
  // Of a long double of x87, six of the sixteen bytes are padding.
  static constexpr std::size_t min_size =
      std::is_same_v<T, long double> && LDBL_MANT_DIG == 64 ? 10 : sizeof(T);
  static void encode(encoder& out, T value) { out.write(&value, min_size); }
  static T decode(decoder& in) {
    T value = 0;
    in.read(&value, min_size);
    return value;
  }
};

template <typename T>
struct builtin_codec<T, kind::boolean> {
  static constexpr std::size_t min_size = 1;
  static void encode(encoder& out, bool value) { out.write<unsigned char>(value ? 1 : 0); }
  static bool decode(decoder& in) {
    const auto byte = in.read<unsigned char>();
    if (byte > 1) in.fail("a bool is neither 0 nor 1");
    return byte == 1;
  }
};

/// Any value of the underlying type is accepted: it is fixed, see fixed_enumeration.
template <typename T>
struct builtin_codec<T, kind::enumeration> {
  using number = std::underlying_type_t<T>;
  static constexpr std::size_t min_size = sizeof(number);
  static void encode(encoder& out, T value) { put(out, static_cast<number>(value)); }
  static T decode(decoder& in) { return static_cast<T>(take<number>(in)); }
};

template <typename T>
struct builtin_codec<T, kind::empty> {
  static constexpr std::size_t min_size = 0;
  static void encode(encoder&, const T&) {}
  static T decode(decoder&) { return T{}; }
};

template <typename T>
struct builtin_codec<T, kind::duration> {
  using parts = type_list<typename T::rep>;
  static constexpr std::size_t min_size = detail::min_size<typename T::rep>();
  static void encode(encoder& out, const T& value) { put(out, value.count()); }
  static T decode(decoder& in) { return T{take<typename T::rep>(in)}; }
};

template <typename T>
struct builtin_codec<T, kind::instant> {
  using parts = type_list<typename T::duration>;
  static constexpr std::size_t min_size = detail::min_size<typename T::duration>();
  static void encode(encoder& out, const T& value) { put(out, value.time_since_epoch()); }
  static T decode(decoder& in) { return T{take<typename T::duration>(in)}; }
};

template <typename T>
struct builtin_codec<T, kind::complex> {
  using number = typename T::value_type;
  using parts = type_list<number>;
  static constexpr std::size_t min_size = 2 * detail::min_size<number>();
  static void encode(encoder& out, const T& value) {
    put(out, value.real());
    put(out, value.imag());
  }
  static T decode(decoder& in) { return T{take<number>(in), take<number>(in)}; }
};

template <typename T>
struct builtin_codec<T, kind::path> {
  using text = typename T::string_type;
  static constexpr std::size_t min_size = detail::min_size<text>();
  static void encode(encoder& out, const T& value) { put(out, value.native()); }
  static T decode(decoder& in) { return T{take<text>(in)}; }
};

template <typename T>
struct builtin_codec<T, kind::bitset> {
  static constexpr std::size_t bits = T{}.size();
  static constexpr std::size_t min_size = (bits + 7) / 8;
  static void encode(encoder& out, const T& value) {
    for (std::size_t i = 0; i < bits; i += 8) {
      unsigned byte = 0;
      for (std::size_t j = i; j < smallest({i + 8, bits}); ++j) {
        byte |= unsigned{value.test(j)} << (j - i);
      }
      out.write(static_cast<unsigned char>(byte));
    }
  }
  static T decode(decoder& in) {
    T value;
    for (std::size_t i = 0; i < bits; i += 8) {
      const unsigned byte = in.read<unsigned char>();
      for (std::size_t j = i; j < smallest({i + 8, bits}); ++j) value.set(j, byte >> (j - i) & 1);
    }
    return value;
  }
};

}  // namespace detail
}  // namespace cadre
