// SPDX-License-Identifier: MIT
// shared_buffer and shared_span: memory that worker processes see in place, however large, uncopied.
//
//     cadre::shared_buffer<double> samples{1'000'000'000};      // 8 GB of zeros, to be filled here
//     auto mean = pool.submit(&mean_of, samples.share());       // double mean_of(cadre::shared_span<const double>)
//     auto half = samples.share().first(500'000'000);           // the same memory
//
// Who writes    A shared_span<const T> only reads, and in every process but its creator's that is all
//            that can be done: the kernel refuses more. Of a buffer made for shared_access::everyone
//            there is also shared_span<T>, which writes in all processes, as threads write to one array.
// Results    A call may make a buffer, fill it and return a shared_span of it, or one of its arguments.
// Lifetime   Reference-counted, over all processes: the memory goes with the last buffer, span and
//            unfinished call that has it. A worker that dies takes nothing along, and leaves nothing.
// Threads    As std::shared_ptr and the memory itself. Others may still read what you write: finish
//            writing before you submit, or order it by atomics of your own.
// Trust      A worker may write what it likes into memory that it made or may write: check what you
//            read as you would check a file. It cannot change its size.
// Errors     std::system_error if the system has no memory or descriptors left, or if it is larger than
//            a file may be (ulimit -f). codec_error where it meets bytes other than those of a call of a
//            process pool, and for a result that brings more new memory along than max_message says.
// Cost       A page is made when it is first touched. To pass one is 16 bytes and the look-up of a
//            number; the first time for each worker, also a system call on both sides and a mapping.
//            One descriptor each, here and in workers that got it.
#pragma once

#include <cadre/codec.hpp>
#include <cadre/config.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

namespace cadre {

enum class shared_access : std::uint8_t {
  creator,  ///< the process that made the buffer writes, all others read
  everyone  ///< every process that is given it writes
};

namespace detail {

class shared_memory;

/// Memory, and what keeps it.
struct shared_bytes {
  std::shared_ptr<const shared_memory> owner = {};
  std::byte* data = nullptr;
  std::size_t size = 0;
};

/// What a decoder must find.
struct shared_shape {
  std::size_t element;
  std::size_t alignment;
  bool writable;
};

CADRE_API shared_bytes create_shared(std::size_t count, std::size_t element, shared_access who);
CADRE_API bool is_writable_by_all(const shared_bytes& bytes) noexcept;
[[noreturn]] CADRE_API void throw_creator_only();
CADRE_API void encode_shared(encoder& out, const shared_bytes& bytes);
CADRE_API shared_bytes decode_shared(decoder& in, const shared_shape& shape);

template <typename T>
constexpr void check_shared_element() {
  static_assert(std::is_trivially_copyable_v<T>,
                "cadre: the elements of a shared_buffer or shared_span must be trivially copyable, "
                "as numbers are and structs of them: other processes see their bytes alone; let "
                "what is not (std::string, std::vector) cross as a value");
  static_assert(can_cross<typename judgement<T>::culprit, is_address(judgement<T>::why)>,
                "cadre: the elements of a shared_buffer or shared_span contain a pointer, a "
                "reference or a view, which means nothing in another process; use an index");
}

}  // namespace detail

template <typename T>
class shared_buffer;

/// A part of shared memory, by reference: a std::span that keeps what it refers to.
template <typename T>
class shared_span {
 public:
  using element_type = T;
  using value_type = std::remove_const_t<T>;

  shared_span() noexcept { detail::check_shared_element<value_type>(); }
  /// Whoever may write may read.
  template <typename U>
    requires(std::is_same_v<const U, T>)
  shared_span(const shared_span<U>& other) noexcept  // NOLINT(google-explicit-constructor)
      : bytes_{other.bytes_} {}

  T* data() const noexcept { return reinterpret_cast<T*>(bytes_.data); }
  std::size_t size() const noexcept { return bytes_.size / sizeof(T); }
  bool empty() const noexcept { return bytes_.size == 0; }
  T* begin() const noexcept { return data(); }
  T* end() const noexcept { return data() + size(); }
  T& operator[](std::size_t index) const noexcept { return data()[index]; }

  /// As std::span's: requires that there are so many.
  shared_span first(std::size_t count) const noexcept { return subspan(0, count); }
  shared_span last(std::size_t count) const noexcept { return subspan(size() - count, count); }
  shared_span subspan(std::size_t offset, std::size_t count) const noexcept {
    return shared_span{{bytes_.owner, bytes_.data + offset * sizeof(T), count * sizeof(T)}};
  }

  /// Does not keep the memory.
  operator std::span<T>() const noexcept { return {data(), size()}; }  // NOLINT(*-explicit-*)

 private:
  template <typename>
  friend class shared_span;
  friend class shared_buffer<value_type>;
  friend struct codec<shared_span>;

  explicit shared_span(detail::shared_bytes bytes) noexcept : bytes_{std::move(bytes)} {}

  detail::shared_bytes bytes_;
};

/// Shared memory in the process that made it.
template <typename T>
class shared_buffer {
 public:
  /// `count` elements, all bytes of which are 0. Throws std::system_error, and std::bad_alloc for more
  /// than can be.
  explicit shared_buffer(std::size_t count, shared_access who = shared_access::creator)
      : bytes_{detail::create_shared(count, sizeof(T), who)} {
    static_assert(std::is_object_v<T> && !std::is_const_v<T> && alignof(T) <= 4096);
    detail::check_shared_element<T>();
  }
  shared_buffer(shared_buffer&& other) noexcept : bytes_{std::exchange(other.bytes_, {})} {}
  shared_buffer& operator=(shared_buffer&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  T* data() const noexcept { return reinterpret_cast<T*>(bytes_.data); }
  std::size_t size() const noexcept { return bytes_.size / sizeof(T); }
  bool empty() const noexcept { return bytes_.size == 0; }
  T* begin() const noexcept { return data(); }
  T* end() const noexcept { return data() + size(); }
  T& operator[](std::size_t index) const noexcept { return data()[index]; }

  /// For others to read; what is written here later they see, too.
  shared_span<const T> share() const noexcept { return shared_span<const T>{bytes_}; }
  /// For others to write. Throws std::logic_error if the buffer was not made for everyone.
  shared_span<T> share_writable() const {
    if (!detail::is_writable_by_all(bytes_)) detail::throw_creator_only();
    return shared_span<T>{bytes_};
  }

 private:
  detail::shared_bytes bytes_;
};

template <typename T>
struct codec<shared_span<T>> {
  static void encode(encoder& out, const shared_span<T>& value) {
    detail::encode_shared(out, value.bytes_);
  }
  static shared_span<T> decode(decoder& in) {
    return shared_span<T>{detail::decode_shared(in, {sizeof(T), alignof(T), !std::is_const_v<T>})};
  }
};

}  // namespace cadre
