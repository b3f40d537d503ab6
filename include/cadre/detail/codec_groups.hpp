// SPDX-License-Identifier: MIT
// The codecs of what holds other values: optional, unique_ptr, variant, tuple, pair, array and the
// containers. Included by codec.hpp.
#pragma once

#include <cadre/detail/codec_parts.hpp>
#include <cadre/detail/codec_values.hpp>

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <ranges>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>

namespace cadre::detail {

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
    return take<bool>(in) ? T{std::in_place, taken<held>{in}.get()} : T{std::nullopt};
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
  static constexpr std::size_t min_size = 4 + smallest({detail::min_size<Held>()...});

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
    static constexpr function functions[] = {[](decoder& from) {
      return type{std::in_place_index<I>, taken<Held>{from}.get()};
    }...};
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
    return std::tuple<Held...>{taken<Held, is_large<Held>>{in}.get()...};
  }

 private:
  // All of them are there at once before they are moved into the tuple.
  template <typename T>
  static constexpr bool is_large = sizeof(std::tuple<Held...>) > most_on_stack && sizeof(T) > 64;
};

template <typename First, typename Second>
struct builtin_codec<std::pair<First, Second>, kind::tuple> {
  using parts = type_list<First, Second>;
  static constexpr std::size_t min_size = detail::min_size<First>() + detail::min_size<Second>();
  static void encode(encoder& out, const std::pair<First, Second>& value) {
    put(out, value.first);
    put(out, value.second);
  }
  static std::pair<First, Second> decode(decoder& in) {
    return std::pair<First, Second>{taken<First>{in}.get(), taken<Second>{in}.get()};
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
      return decode_each(in);
    } else {
      return [&]<std::size_t... I>(std::index_sequence<I...>) {
        return std::array<T, N>{{(static_cast<void>(I), take<T>(in))...}};
      }(std::make_index_sequence<N>{});
    }
  }

 private:
  // Made in place, see read_in_place().
  static std::array<T, N> decode_each(decoder& in) {
    std::array<T, N> result{};
    for (T& element : result) element = taken<T>{in}.get();
    return result;
  }
};

/// Keys that collide would let a few bytes of a worker hold this process for minutes: each insertion
/// steps through all that is in the bucket. So, of a few insertions that nobody can foretell, the
/// steps are counted; too many for the bytes that were read throw codec_error.
struct CADRE_API bucket_watch {
  template <typename Table, typename Key>
  static void look(decoder& in, const Table& table, const Key& key) {
    if constexpr (requires { table.begin(table.bucket(key)); }) {
      if (--in.until_look_ != 0) return;
      add(in, draw(in) * steps(table, key));
    }
  }

  static void add(decoder& in, std::size_t steps) {
    in.steps_ += steps;
    if (in.steps_ > free_steps) check(in);
  }

 private:
  // A few milliseconds. A larger number is more time to lose; a smaller one refuses small tables
  // with a bad hash function.
  static constexpr std::uint64_t free_steps = std::uint64_t{1} << 20;

  /// What an insertion does before it, or finds an equal key.
  template <typename Table, typename Key>
  static std::size_t steps(const Table& table, const Key& key) {
    if (table.empty()) return 0;
    const auto bucket = table.bucket(key);
    const auto end = table.end(bucket);
    std::size_t count = 0;
    for (auto at = table.begin(bucket); at != end; ++at, ++count) {
      if constexpr (map_like<Table>) {
        if (table.key_eq()(at->first, key)) break;
      } else {
        if (table.key_eq()(*at, key)) break;
      }
    }
    return count;
  }

  /// Chooses the next insertion to be looked at. Returns of how many it is one.
  static std::size_t draw(decoder& in) noexcept;
  static void check(const decoder& in);
};

template <typename T>
auto parts_of_container() {
  if constexpr (map_like<T>) {
    return type_list<typename T::key_type, typename T::mapped_type>{};
  } else {
    return type_list<typename T::value_type>{};
  }
}

/// The memory of one large container, for the next of its type: the system would clear fresh pages
/// first, which takes as long as to copy them. A thread that decodes one value after the other, as a
/// worker process does, gives them back when it has done with them.
template <typename T>
class kept_memory {
 public:
  /// Empty; with memory for `count` elements, if there is such.
  static T take(std::size_t count) {
    if (kept == nullptr) return {};
    T container = std::exchange(*kept, T{});
    if (container.capacity() < count || container.capacity() / 4 > count) return {};
    container.clear();
    return container;
  }
  static void give(T& container) noexcept {
    // More than a worker should hold on to; less would not hold what is still worth copying.
    constexpr std::size_t most = std::size_t{64} << 20;
    const std::size_t size = container.capacity() * sizeof(typename T::value_type);
    if (size < least_part || size > most) return;
    if (kept == nullptr) kept = new (std::nothrow) T;
    if (kept != nullptr) *kept = std::move(container);
  }

 private:
  // A pointer, for a library with a destructor to run at a thread's end could not be unloaded before.
  static inline thread_local constinit T* kept = nullptr;
};

template <typename T>
struct builtin_codec<T, kind::container> {
  using element = typename T::value_type;
  using parts = decltype(parts_of_container<T>());
  static constexpr std::size_t min_size = sizeof(std::uint64_t);

  /// As a large part, if it is one: what can be filled piece by piece.
  static constexpr bool goes_apart = [] {
    if constexpr (std::ranges::contiguous_range<const T> && is_bulk<element>()) {
      return sizeof(element) <= largest_part_element && alignof(element) <= part_alignment &&
             requires(T& t, const element* e) {
               t.reserve(std::size_t{});
               t.insert(t.end(), e, e);
             };
    }
    return false;
  }();

  static void encode(encoder& out, const T& value) {
    if constexpr (goes_apart) {
      if (apart::put(out, value.size(), std::ranges::data(value), sizeof(element) * value.size())) {
        return;
      }
    }
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
    if constexpr (goes_apart) {
      const auto count = in.read<std::uint64_t>();
      if ((count & apart_bit) != 0) return decode_apart(in, count & ~apart_bit);
      return decode_bulk(in.take(apart::checked(in, count, sizeof(element)) * sizeof(element)));
    }
    const std::size_t count = in.read_count(counts_empty ? 1 : detail::min_size<element>());
    if constexpr (std::ranges::contiguous_range<const T> && is_bulk<element>()) {
      return decode_bulk(in.take(count * sizeof(element)));
    } else {
      const nesting level{in, {}};
      T result;
      if constexpr (requires { result.reserve(count); }) {
        // No more than the bytes that are there, however large the elements.
        result.reserve(smallest({count, in.remaining() / sizeof(element) + 1}));
      }
      for (std::size_t i = 0; i < count; ++i) {
        append(result, in);
        if constexpr (counts_empty) in.take(1);
      }
      return result;
    }
  }

  /// For one that is about to be destroyed. Not with an allocator whose memory may not outlive it.
  static void recycle([[maybe_unused]] T& value) noexcept {
    if constexpr (goes_apart && std::is_nothrow_move_assignable_v<T>) kept_memory<T>::give(value);
  }

  /// For a value that is this container. Null unless the parts are its elements.
  static std::unique_ptr<landing> land(std::uint64_t word, std::size_t size) {
    if constexpr (goes_apart) {
      const std::uint64_t count = word & ~apart_bit;
      if ((word & apart_bit) != 0 && count <= size / sizeof(element) &&
          padded(static_cast<std::size_t>(count) * sizeof(element)) == size) {
        return std::make_unique<landing_place>(static_cast<std::size_t>(count));
      }
    }
    return nullptr;
  }

 private:
  // Elements that may take no bytes get one each, so that no count exceeds the bytes that are left.
  static constexpr bool counts_empty = detail::min_size<element>() == 0;

  struct landing_place final : landing {
    explicit landing_place(std::size_t count) : landing{count, sizeof(element)} {
      container = kept_memory<T>::take(count);
      container.reserve(count);
      advise_huge_pages(std::ranges::data(container), count * sizeof(element));
    }
    void put(std::span<const std::byte> bytes) override {
      const auto* first = reinterpret_cast<const element*>(bytes.data());
      container.insert(container.end(), first, first + bytes.size() / sizeof(element));
    }

    T container;
  };

  static T decode_apart(decoder& in, std::uint64_t count) {
    if (auto* there = dynamic_cast<landing_place*>(apart::landed(in))) {
      return std::move(there->container);
    }
    part_source& from = apart::source(in, count, sizeof(element));
    landing_place place{static_cast<std::size_t>(count)};
    const std::size_t size = place.left();
    while (place.left() != 0) place.append(from.next(place.left(), sizeof(element)));
    from.end_part(size);
    return std::move(place.container);
  }

  static T decode_bulk(std::span<const std::byte> bytes) {
    const std::size_t count = bytes.size() / sizeof(element);
    if (std::bit_cast<std::uintptr_t>(bytes.data()) % alignof(element) == 0) {
      const auto* first = reinterpret_cast<const element*>(bytes.data());
      return T(first, first + count);
    }
    if constexpr (sizeof(element) > most_on_stack) {
      const auto aligned = std::make_unique_for_overwrite<bytes_of<element>>();
      T result;
      if constexpr (requires { result.reserve(count); }) result.reserve(count);
      for (std::size_t i = 0; i < count; ++i) {
        std::memcpy(aligned->bytes, bytes.data() + i * sizeof(element), sizeof(element));
        result.push_back(aligned->value());
      }
      return result;
    } else {
      const unaligned_iterator<element> first{bytes.data()};
      return T(first, first + static_cast<std::ptrdiff_t>(count));
    }
  }

  static void append(T& result, decoder& in) {
    if constexpr (map_like<T>) {
      taken<typename T::key_type> key{in};
      taken<typename T::mapped_type> mapped{in};
      bucket_watch::look(in, result, key.get());
      place(result, in, key.get(), mapped.get());
    } else if constexpr (set_like<T>) {
      taken<element> key{in};
      bucket_watch::look(in, result, key.get());
      place(result, in, key.get());
    } else {
      result.push_back(taken<element>{in}.get());
    }
  }

  template <typename... Parts>
  static void place(T& result, [[maybe_unused]] decoder& in, Parts&&... parts) {
    [[maybe_unused]] const auto at =
        result.emplace_hint(result.end(), std::forward<Parts>(parts)...);
    if constexpr (std::ranges::random_access_range<T>) {  // sorted: it moves what is behind
      const auto moved = static_cast<std::size_t>(result.end() - at) * sizeof(element);
      bucket_watch::add(in, moved / 64);
    }
  }
};

}  // namespace cadre::detail
