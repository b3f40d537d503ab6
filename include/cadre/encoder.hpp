// SPDX-License-Identifier: MIT
// encoder and decoder: the bytes that values become, see codec.hpp.
//
//     cadre::encoder out{1'000'000};        // no more bytes than that
//     cadre::encode(out, job);
//     cadre::decoder in{out.bytes()};
//
// Threads    One at a time per encoder or decoder.
// Errors     codec_error.
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
class large_parts;
class part_source;
struct apart;
struct bucket_watch;
}  // namespace detail

/// How deep values may nest in one another: lists of lists, the nodes of a tree. More would allow
/// deeper data; less would refuse more of it. However deep and however large the values, decoding
/// does not use up a stack: those above 4 KiB are made on the heap, and codec_error is thrown while
/// 64 KiB of the thread's stack are left (a quarter of it, if it is smaller than 256 KiB). On a stack
/// that is not the thread's own, such as a fiber's, decoding takes up to 128 KiB.
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
  void truncate(std::size_t size) noexcept;

  /// Throws codec_error that says what is being encoded, the problem, and what now.
  [[noreturn]] void fail(std::string_view problem, std::string_view remedy) const;

 private:
  template <typename Stream>
  friend class detail::nesting;
  friend struct detail::apart;

  void grow(std::size_t more);
  [[noreturn]] void too_deep() const;

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  std::size_t limit_;
  std::string_view subject_;  // the type of the outermost value
  unsigned depth_ = 0;
  unsigned passing_ = 0;                  // within so many values that may not live on
  detail::large_parts* parts_ = nullptr;  // where large ones go, if not here; somebody else's
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
  friend struct detail::apart;
  friend struct detail::bucket_watch;

  static constexpr std::uintptr_t unknown = std::numeric_limits<std::uintptr_t>::max();

  /// Throws if the stack of this thread is almost used up.
  void check_stack();
  [[noreturn]] void too_short(std::size_t size) const;
  [[noreturn]] void too_many(std::uint64_t count) const;
  [[noreturn]] void too_deep() const;

  const std::byte* begin_;
  const std::byte* next_;
  const std::byte* end_;
  std::string_view subject_;  // the type of the outermost value
  unsigned depth_ = 0;
  unsigned until_look_ = 64;            // of insertions into hash tables, see detail::bucket_watch
  std::uint64_t random_ = 0;            // 0: none was needed
  std::uint64_t steps_ = 0;             // through buckets, as estimated
  std::uintptr_t stack_end_ = unknown;  // frames below it do not nest further; of this thread
  detail::part_source* parts_ = nullptr;  // where large ones come from, if not from here
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
