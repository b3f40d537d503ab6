// SPDX-License-Identifier: MIT
// The codecs of all kinds of values that need no specialisation by the user.
//
// Each has: encode(), decode(); min_size, the fewest bytes that a value takes, by which a count is
// checked; parts, the types that must be encodable as well.
#pragma once

#include <cadre/codec.hpp>
#include <cadre/detail/codec_rules.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cfloat>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <string_view>
#include <tuple>
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
    ++stream.depth_;
  }
  nesting(const nesting&) = delete;
  nesting& operator=(const nesting&) = delete;
  ~nesting() { --stream_.depth_; }

 private:
  Stream& stream_;
};

template <typename T>
void put(encoder& out, const T& value) {
  codec<T>::encode(out, value);
}
template <typename T>
std::remove_const_t<T> take(decoder& in) {
  return codec<std::remove_const_t<T>>::decode(in);
}

template <typename T>
constexpr std::size_t min_size() {
  if constexpr (requires { codec<std::remove_const_t<T>>::min_size; }) {
    return codec<std::remove_const_t<T>>::min_size;
  } else {
    return 0;
  }
}

// --- what goes by memcpy ---

template <typename T>
constexpr bool is_bulk();

template <typename T, typename... Members>
constexpr bool is_bulk_struct(type_list<Members...>) {
  return (is_bulk<std::remove_const_t<Members>>() && ...) && (sizeof(Members) + ...) == sizeof(T);
}

/// All bytes of T are its value, and any bytes are a value: not of a bool, nor of an enumeration
/// without a fixed type. Padding is not sent: it may hold what nobody meant to tell.
template <typename T>
constexpr bool is_bulk() {
  if constexpr (has_own_codec<T> || !std::is_trivially_copyable_v<T>) {
    return false;
  } else if constexpr (kind_of<T> == kind::number) {
    return !std::is_same_v<T, long double>;
  } else if constexpr (kind_of<T> == kind::enumeration) {
    return is_bulk<std::underlying_type_t<T>>() && requires { T{std::underlying_type_t<T>{}}; };
  } else if constexpr (kind_of<T> == kind::array || kind_of<T> == kind::complex) {
    return is_bulk<typename T::value_type>();
  } else if constexpr (kind_of<T> == kind::aggregate) {
    return is_bulk_struct<T>(member_types<T>{});
  } else {
    return false;
  }
}

template <typename T>
T take_bulk(decoder& in) {
  std::array<std::byte, sizeof(T)> bytes;
  in.read(bytes.data(), sizeof(T));
  return std::bit_cast<T>(bytes);
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

/// Any value of the underlying type is accepted: what else would be one cannot be known.
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
      for (std::size_t j = i; j < std::min(i + 8, bits); ++j) byte |= value.test(j) << (j - i);
      out.write(static_cast<unsigned char>(byte));
    }
  }
  static T decode(decoder& in) {
    T value;
    for (std::size_t i = 0; i < bits; i += 8) {
      const unsigned byte = in.read<unsigned char>();
      for (std::size_t j = i; j < std::min(i + 8, bits); ++j) value.set(j, byte >> (j - i) & 1);
    }
    return value;
  }
};

// --- one or none, one of several ---

template <typename T>
struct builtin_codec<T, kind::optional> {
  using held = typename T::value_type;
  using parts = type_list<held>;
  static constexpr std::size_t min_size = 1;
  static void encode(encoder& out, const T& value) {
    put(out, value.has_value());
    if (value) put(out, *value);
  }
  static T decode(decoder& in) {
    return take<bool>(in) ? T{std::in_place, take<held>(in)} : T{std::nullopt};
  }
};

template <typename T>
struct builtin_codec<T, kind::unique_ptr> {
  using held = typename T::element_type;
  using parts = type_list<held>;
  static constexpr std::size_t min_size = 1;
  static void encode(encoder& out, const T& value) {
    const nesting level{out, {}};
    put(out, value != nullptr);
    if (value) put(out, *value);
  }
  static T decode(decoder& in) {
    const nesting level{in, {}};
    return take<bool>(in) ? T{new held(take<held>(in))} : T{};
  }
};

template <template <typename...> typename Variant, typename... Held>
struct builtin_codec<Variant<Held...>, kind::variant> {
  using type = Variant<Held...>;
  using parts = type_list<Held...>;
  static constexpr std::size_t min_size = 4 + std::min({detail::min_size<Held>()...});

  static void encode(encoder& out, const type& value) {
    if (value.valueless_by_exception()) {
      out.fail("a variant lost its value to an exception", "assign it one before it is to cross");
    }
    out.write(static_cast<std::uint32_t>(value.index()));
    encode_held(out, value, std::index_sequence_for<Held...>{});
  }
  static type decode(decoder& in) {
    const auto index = in.read<std::uint32_t>();
    if (index >= sizeof...(Held)) in.fail("a variant has no alternative of this number");
    return decode_held(in, index, std::index_sequence_for<Held...>{});
  }

 private:
  template <std::size_t... I>
  static void encode_held(encoder& out, const type& value, std::index_sequence<I...>) {
    using std::get;  // std::variant's own is found by its argument
    ((value.index() == I ? put(out, get<I>(value)) : void()), ...);
  }
  template <std::size_t... I>
  static type decode_held(decoder& in, std::size_t index, std::index_sequence<I...>) {
    using function = type (*)(decoder&);
    static constexpr function functions[] = {
        [](decoder& from) { return type{std::in_place_index<I>, take<Held>(from)}; }...};
    return functions[index](in);
  }
};

// --- several ---

template <typename... Held>
struct builtin_codec<std::tuple<Held...>, kind::tuple> {
  using parts = type_list<Held...>;
  static constexpr std::size_t min_size = (std::size_t{0} + ... + detail::min_size<Held>());
  static void encode(encoder& out, const std::tuple<Held...>& value) {
    std::apply([&](const auto&... held) { (put(out, held), ...); }, value);
  }
  // Braces: they are evaluated from left to right.
  static std::tuple<Held...> decode([[maybe_unused]] decoder& in) {
    return std::tuple<Held...>{take<Held>(in)...};
  }
};

template <typename First, typename Second>
struct builtin_codec<std::pair<First, Second>, kind::tuple> {
  using parts = type_list<First, Second>;
  static constexpr std::size_t min_size =
      detail::min_size<First>() + detail::min_size<Second>();
  static void encode(encoder& out, const std::pair<First, Second>& value) {
    put(out, value.first);
    put(out, value.second);
  }
  static std::pair<First, Second> decode(decoder& in) {
    return std::pair<First, Second>{take<First>(in), take<Second>(in)};
  }
};

template <typename T, std::size_t N>
struct builtin_codec<std::array<T, N>, kind::array> {
  using parts = type_list<T>;
  static constexpr std::size_t min_size = N * detail::min_size<T>();
  static void encode(encoder& out, const std::array<T, N>& value) {
    if constexpr (is_bulk<T>()) {
      out.write(value.data(), sizeof(T) * N);
    } else {
      for (const T& element : value) put(out, element);
    }
  }
  static std::array<T, N> decode(decoder& in) {
    if constexpr (is_bulk<T>() && N != 0) {
      return take_bulk<std::array<T, N>>(in);
    } else if constexpr (std::default_initializable<T> && std::is_move_assignable_v<T>) {
      std::array<T, N> result{};
      for (T& element : result) element = take<T>(in);
      return result;
    } else {
      return [&]<std::size_t... I>(std::index_sequence<I...>) {
        return std::array<T, N>{{(static_cast<void>(I), take<T>(in))...}};
      }(std::make_index_sequence<N>{});
    }
  }
};

template <typename T>
auto parts_of_container() {
  if constexpr (map_like<T>) {
    return type_list<typename T::key_type, typename T::mapped_type>{};
  } else {
    return type_list<typename T::value_type>{};
  }
}

template <typename T>
struct builtin_codec<T, kind::container> {
  using element = typename T::value_type;
  using parts = decltype(parts_of_container<T>());
  static constexpr std::size_t min_size = sizeof(std::uint64_t);

  static void encode(encoder& out, const T& value) {
    out.write(std::uint64_t{value.size()});
    if constexpr (std::ranges::contiguous_range<const T> && is_bulk<element>()) {
      out.write(std::ranges::data(value), sizeof(element) * value.size());
    } else {
      const nesting level{out, {}};
      for (const auto& held : value) {
        put<element>(out, held);
        if constexpr (counts_empty) out.write<unsigned char>(0);
      }
    }
  }

  static T decode(decoder& in) {
    const std::size_t count = in.read_count(std::max<std::size_t>(1, detail::min_size<element>()));
    if constexpr (std::ranges::contiguous_range<const T> && is_bulk<element>()) {
      return decode_bulk(in.take(count * sizeof(element)));
    } else {
      const nesting level{in, {}};
      T result;
      if constexpr (requires { result.reserve(count); }) {
        // No more than the bytes that are there, however large the elements.
        result.reserve(std::min(count, in.remaining() / sizeof(element) + 1));
      }
      for (std::size_t i = 0; i < count; ++i) {
        append(result, in);
        if constexpr (counts_empty) in.take(1);
      }
      return result;
    }
  }

 private:
  // Elements that may take no bytes get one each, so that no count exceeds the bytes that are left.
  static constexpr bool counts_empty = detail::min_size<element>() == 0;

  static T decode_bulk(std::span<const std::byte> bytes) {
    const std::size_t count = bytes.size() / sizeof(element);
    if (std::bit_cast<std::uintptr_t>(bytes.data()) % alignof(element) == 0) {
      const auto* first = reinterpret_cast<const element*>(bytes.data());
      return T(first, first + count);
    }
    const unaligned_iterator<element> first{bytes.data()};
    return T(first, first + static_cast<std::ptrdiff_t>(count));
  }

  static void append(T& result, decoder& in) {
    if constexpr (map_like<T>) {
      auto key = take<typename T::key_type>(in);
      result.emplace_hint(result.end(), std::move(key), take<typename T::mapped_type>(in));
    } else if constexpr (set_like<T>) {
      result.emplace_hint(result.end(), take<element>(in));
    } else {
      result.push_back(take<element>(in));
    }
  }
};

// --- structs and classes ---

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
      if constexpr (judgement<T>::why == refusal::none) value = take<T>(in_);
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

}  // namespace detail
}  // namespace cadre
