// SPDX-License-Identifier: MIT
// Large parts: the elements of a vector or a string of 64 KiB and more go beside the bytes of an
// encoder rather than into them, if it is told so, and come back as pieces. So they are copied once
// on each side, straight from the value to where they travel and from there into the value.
//
//   in the stream     the count, with apart_bit
//   beside it         the elements, padded to part_alignment
//
// Only of values of which any bytes are one. Included by codec.hpp.
#pragma once

#include <cadre/config.hpp>
#include <cadre/encoder.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

namespace cadre::detail {

/// Smaller ones would cost more beside the stream than in it.
inline constexpr std::size_t least_part = std::size_t{64} << 10;
/// Elements up to this size: some fit into any piece.
inline constexpr std::size_t largest_part_element = 4096;
inline constexpr std::size_t part_alignment = 64;
inline constexpr std::uint64_t apart_bit = std::uint64_t{1} << 63;

constexpr std::size_t padded(std::size_t size) noexcept {
  return (size + part_alignment - 1) & ~(part_alignment - 1);
}

/// A container into which its elements are put as they arrive. If it is the whole value, that may
/// begin before there is a decoder.
class landing {
 public:
  landing(std::uint64_t count, std::size_t unit) noexcept : unit_{unit}, left_{count * unit} {}
  landing(const landing&) = delete;
  landing& operator=(const landing&) = delete;
  virtual ~landing() = default;

  /// The size of an element.
  std::size_t unit() const noexcept { return unit_; }
  /// The bytes that have not arrived.
  std::size_t left() const noexcept { return left_; }
  /// `bytes`: a multiple of unit(), at most left(); aligned as elements are. Throws std::bad_alloc.
  void append(std::span<const std::byte> bytes) {
    put(bytes);
    left_ -= bytes.size();
  }

 private:
  virtual void put(std::span<const std::byte> bytes) = 0;

  const std::size_t unit_;
  std::size_t left_;
};

/// Makes one for a value that is encoded as `word` and `size` bytes of large parts; null if it cannot
/// be. Throws std::bad_alloc.
using land_function = std::unique_ptr<landing> (*)(std::uint64_t word, std::size_t size);

/// The large parts of one value, in the order in which they are to be read.
class part_source {
 public:
  /// The next bytes of a part: a multiple of `unit`, which divides `most`; at most `most`, at least
  /// one unit; aligned as elements of that size are. Valid until the next call. Throws what it takes
  /// to get them.
  virtual std::span<const std::byte> next(std::size_t most, std::size_t unit) = 0;
  /// After the last piece of a part.
  virtual void end_part(std::size_t size) = 0;
  /// Of all parts, with their padding.
  virtual std::size_t left() const noexcept = 0;

  /// What attachments::attach() gave this number; null if it is none.
  virtual std::shared_ptr<const void> attached(std::uint64_t number) = 0;

  /// Where the only part is already; null if there is none.
  virtual landing* landed() noexcept { return nullptr; }

 protected:
  ~part_source() = default;
};

/// What crosses otherwise than as bytes, and is only named there.
class attachments {
 public:
  /// The number by which the other side will know it; none if there are too many.
  virtual std::optional<std::uint64_t> attach(std::shared_ptr<const void> what) = 0;

 protected:
  ~attachments() = default;
};

struct CADRE_API apart {
  static void send(encoder& out, large_parts* to) noexcept { out.parts_ = to; }
  static void receive(decoder& in, part_source& from) noexcept { in.parts_ = &from; }

  /// False if it has to go into the stream.
  static bool put(encoder& out, std::uint64_t count, const void* data, std::size_t size) {
    return size >= least_part && out.parts_ != nullptr && put_part(out, count, data, size);
  }

  /// To be called after the encoding of a value that is about to be destroyed.
  static void deliver(encoder& out) {
    if (out.parts_ != nullptr) deliver_parts(out);
  }

  static landing* landed(const decoder& in) noexcept {
    return in.parts_ != nullptr ? in.parts_->landed() : nullptr;
  }

  /// The source of a part of `size` bytes. Throws codec_error if there is none.
  static part_source& source(decoder& in, std::uint64_t count, std::size_t element) {
    if (in.parts_ == nullptr || count > in.parts_->left() / element) in.too_many(count);
    return *in.parts_;
  }

  /// A count of elements that are in the stream, of `element` bytes each.
  static std::size_t checked(decoder& in, std::uint64_t count, std::size_t element) {
    if (count > in.remaining() / element) in.too_many(count);
    return static_cast<std::size_t>(count);
  }

  static bool can_attach(const encoder& out) noexcept;
  /// Requires can_attach().
  static std::optional<std::uint64_t> attach(encoder& out, std::shared_ptr<const void> what);
  static std::shared_ptr<const void> attached(decoder& in, std::uint64_t number) {
    return in.parts_ != nullptr ? in.parts_->attached(number) : nullptr;
  }

  /// While it lives, what is encoded may be gone afterwards.
  class passing {
   public:
    explicit passing(encoder& out) noexcept : out_{out} { ++out_.passing_; }
    passing(const passing&) = delete;
    passing& operator=(const passing&) = delete;
    ~passing() { --out_.passing_; }

   private:
    encoder& out_;
  };

 private:
  static bool put_part(encoder& out, std::uint64_t count, const void* data, std::size_t size);
  static void deliver_parts(encoder& out);
};

/// What elements of that size are aligned to at most.
constexpr std::size_t alignment_of_unit(std::size_t unit) noexcept {
  const std::size_t power = std::size_t{1} << std::countr_zero(unit);
  return power < part_alignment ? power : part_alignment;
}

/// For memory that is about to be filled: larger pages, of which fewer have to be made.
CADRE_API void advise_huge_pages(const void* data, std::size_t size) noexcept;

}  // namespace cadre::detail
