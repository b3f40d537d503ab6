// SPDX-License-Identifier: MIT
// codec: how values become bytes and bytes values again, between processes of one program.
//
//     cadre::encoder out;
//     cadre::encode(out, job{.path = "a.csv", .weights = {1, 2, 3}});  // a plain struct: no macro
//     cadre::decoder in{out.bytes()};
//     auto same = cadre::decode<job>(in);
//
// Values     Numbers, enumerations, strings, the containers of the standard library, optional,
//            variant, tuple, pair, array, bitset, complex, unique_ptr, durations and time points,
//            paths; structs of up to 32 members; types with a cereal-style serialize(), or save()
//            and load(); and whatever codec<T> is specialised for. See docs/guides/what-crosses.md.
// Not        Pointers, references and views: what they mean stays behind. Nor what shares (a
//            shared_ptr) or hides (std::function, a lambda with captures) its parts.
// Format     That of this very program: no versions, no byte order. Both ends run the same binary.
// Errors     codec_error, for bytes that are no such value and for values above the limits. Bytes
//            are not trusted: each is read once and checked before use. A count is believed only
//            as far as bytes are left, so memory stays in proportion to them.
// Threads    One at a time per encoder or decoder.
// Cost       One memcpy for contiguous numbers and for structs of numbers without padding.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/reflect.hpp>
#include <cadre/errors.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace cadre {

namespace detail {
template <typename Stream>
class nesting;
}

/// How deep values may nest in one another: lists of lists, the nodes of a tree. More would allow
/// deeper data, and let damaged bytes use up the stack.
inline constexpr unsigned max_codec_depth = 200;

/// Appends values to one buffer. It may be used again after clear(), and keeps its memory.
class CADRE_API encoder {
 public:
  static constexpr std::size_t no_limit = std::numeric_limits<std::ptrdiff_t>::max();

  /// More than `limit` bytes throw codec_error, before memory for them is taken.
  explicit encoder(std::size_t limit = no_limit) noexcept : limit_{limit} {}
  encoder(encoder&& other) noexcept;
  encoder& operator=(encoder&& other) noexcept;
  ~encoder();

  void write(const void* data, std::size_t size) {
    if (size > capacity_ - size_) grow(size);
    if (size != 0) std::memcpy(data_ + size_, data, size);
    size_ += size;
  }
  /// The bytes of a number.
  template <typename Number>
    requires std::is_arithmetic_v<Number>
  void write(Number value) {
    write(&value, sizeof value);
  }

  /// Valid until the next write.
  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  std::size_t size() const noexcept { return size_; }
  void clear() noexcept { size_ = 0; }
  /// Forgets all but the first `size` bytes; `size` is at most size().
  void truncate(std::size_t size) noexcept { size_ = size; }

  /// Throws codec_error that says what is being encoded, the problem, and what now.
  [[noreturn]] void fail(std::string_view problem, std::string_view remedy) const;

 private:
  template <typename Stream>
  friend class detail::nesting;

  void grow(std::size_t more);
  [[noreturn]] void too_deep() const;

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  std::size_t limit_;
  std::string_view subject_;  // the type of the outermost value
  unsigned depth_ = 0;
};

/// Reads values from bytes that somebody else keeps. After an error it must not be used again.
class CADRE_API decoder {
 public:
  explicit decoder(std::span<const std::byte> bytes) noexcept
      : begin_{bytes.data()}, next_{begin_}, end_{begin_ + bytes.size()} {}

  std::size_t remaining() const noexcept { return static_cast<std::size_t>(end_ - next_); }

  /// The next `size` bytes, where they are.
  std::span<const std::byte> take(std::size_t size) {
    if (size > remaining()) too_short(size);
    return {std::exchange(next_, next_ + size), size};
  }
  void read(void* to, std::size_t size) {
    const auto bytes = take(size);
    if (size != 0) std::memcpy(to, bytes.data(), size);
  }
  /// A number; not a bool, of which not all bytes are one.
  template <typename Number>
    requires(std::is_arithmetic_v<Number> && !std::is_same_v<Number, bool>)
  Number read() {
    Number value;
    read(&value, sizeof value);
    return value;
  }
  /// A number of elements of which each takes at least `least` bytes, `least` > 0.
  std::size_t read_count(std::size_t least) {
    const auto count = read<std::uint64_t>();
    if (count > remaining() / least) too_many(count);
    return static_cast<std::size_t>(count);
  }

  /// Throws codec_error if bytes are left.
  void finish() const;

  /// Throws codec_error that says what is being decoded, the problem, and where.
  [[noreturn]] void fail(std::string_view problem) const;

 private:
  template <typename Stream>
  friend class detail::nesting;

  [[noreturn]] void too_short(std::size_t size) const;
  [[noreturn]] void too_many(std::uint64_t count) const;
  [[noreturn]] void too_deep() const;

  const std::byte* begin_;
  const std::byte* next_;
  const std::byte* end_;
  std::string_view subject_;  // the type of the outermost value
  unsigned depth_ = 0;
};

/// The customisation point. To let a type of yours cross, specialise
///
///     template <> struct cadre::codec<matrix> {
///       static void encode(cadre::encoder& out, const matrix& m);
///       static matrix decode(cadre::decoder& in);
///     };
///
/// before the type is first used in a call. A codec of a template names the types that it needs:
/// `using parts = cadre::codec_parts<Element>;`. All bytes that encode() wrote must be read again.
template <typename T>
struct codec;

/// For codec<T>::parts.
template <typename... T>
using codec_parts = detail::type_list<T...>;

}  // namespace cadre

#include <cadre/detail/codec_groups.hpp>
#include <cadre/detail/codec_rules.hpp>
#include <cadre/detail/codec_structs.hpp>
#include <cadre/detail/codec_values.hpp>

namespace cadre {

/// For containers that are not of the standard library but work as those do (value_type, begin, end,
/// size, push_back; key_type or mapped_type and emplace_hint), and have no further state:
/// `template <typename T> struct cadre::codec<ring<T>> : cadre::container_codec<ring<T>> {};`.
template <typename T>
using container_codec = detail::builtin_codec<T, detail::kind::container>;

/// T can cross, both ways, with all that it contains.
template <typename T>
concept encodable = detail::judgement<T>::why == detail::refusal::none;

/// Appends `value`. Throws codec_error, std::bad_alloc, and what a codec<T> of yours throws; then
/// part of it may have been written.
template <typename T>
void encode(encoder& out, const T& value) {
  detail::check_encodable<T>();
  if constexpr (encodable<T>) {
    const detail::nesting level{out, detail::type_name<T>()};
    codec<T>::encode(out, value);
  }
}

template <typename T>
T decode(decoder& in) {
  detail::check_encodable<T>();
  if constexpr (encodable<T>) {
    const detail::nesting level{in, detail::type_name<T>()};
    return codec<T>::decode(in);
  } else {
    in.fail("the type cannot cross");
  }
}

}  // namespace cadre
