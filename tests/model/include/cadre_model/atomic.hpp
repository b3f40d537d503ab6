// SPDX-License-Identifier: MIT
// The explorer's cadre::sync::atomic: std::atomic's interface, every operation a scheduling point.
//
// Outside an exploration, and in constant initialisation, it is a plain variable. Orders are
// accepted and ignored: the explorer is sequentially consistent. A weak compare_exchange never
// fails spuriously.
#pragma once

#include <atomic>  // std::memory_order
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace cadre_model::detail {

/// What an operation that is announced may do. A wake uses only the address.
enum class access : std::uint8_t { read, write, wake };

/// Returns when the explorer lets the calling thread touch `address`.
void announce(const void* address, access) noexcept;

/// The calling thread's object at `address` ends.
void ended(const void* address) noexcept;

/// Writes down the operation that the calling thread has just performed.
void record(const char* operation, const void* address, std::uint64_t before,
            std::uint64_t after) noexcept;

template <typename T>
std::uint64_t bits(const T& value) noexcept {
  static_assert(sizeof(T) <= sizeof(std::uint64_t), "the explorer has no atomics over 8 bytes");
  std::uint64_t result = 0;
  std::memcpy(&result, &value, sizeof(T));
  return result;
}

}  // namespace cadre_model::detail

namespace cadre::sync {

template <typename T>
class atomic {
  static_assert(std::is_trivially_copyable_v<T>);
  using difference = std::conditional_t<std::is_pointer_v<T>, std::ptrdiff_t, T>;
  static constexpr std::memory_order seq_cst = std::memory_order_seq_cst;

 public:
  using value_type = T;
  static constexpr bool is_always_lock_free = true;

  constexpr atomic() noexcept : value_{} {}
  constexpr atomic(T value) noexcept : value_{value} {}
  constexpr ~atomic() {
    if (!std::is_constant_evaluated()) cadre_model::detail::ended(&value_);
  }
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;

  bool is_lock_free() const noexcept { return true; }

  T load(std::memory_order = seq_cst) const noexcept {
    announce(cadre_model::detail::access::read);
    const T value = value_;
    record("load", value, value);
    return value;
  }

  void store(T value, std::memory_order = seq_cst) noexcept {
    update("store", [&](T) { return value; });
  }

  T exchange(T value, std::memory_order = seq_cst) noexcept {
    return update("exchange", [&](T) { return value; });
  }

  bool compare_exchange_strong(T& expected, T desired, std::memory_order = seq_cst) noexcept {
    announce(cadre_model::detail::access::write);
    const T before = value_;
    if (before != expected) {
      record("compare_exchange fails", before, before);
      expected = before;
      return false;
    }
    value_ = desired;
    record("compare_exchange", before, desired);
    return true;
  }

  bool compare_exchange_strong(T& expected, T desired, std::memory_order,
                               std::memory_order) noexcept {
    return compare_exchange_strong(expected, desired);
  }

  bool compare_exchange_weak(T& expected, T desired, std::memory_order = seq_cst) noexcept {
    return compare_exchange_strong(expected, desired);
  }

  bool compare_exchange_weak(T& expected, T desired, std::memory_order,
                             std::memory_order) noexcept {
    return compare_exchange_strong(expected, desired);
  }

  T fetch_add(difference n, std::memory_order = seq_cst) noexcept {
    return update("fetch_add", [&](T old) { return static_cast<T>(old + n); });
  }

  T fetch_sub(difference n, std::memory_order = seq_cst) noexcept {
    return update("fetch_sub", [&](T old) { return static_cast<T>(old - n); });
  }

  T fetch_or(T mask, std::memory_order = seq_cst) noexcept {
    return update("fetch_or", [&](T old) { return static_cast<T>(old | mask); });
  }

  T fetch_and(T mask, std::memory_order = seq_cst) noexcept {
    return update("fetch_and", [&](T old) { return static_cast<T>(old & mask); });
  }

  T fetch_xor(T mask, std::memory_order = seq_cst) noexcept {
    return update("fetch_xor", [&](T old) { return static_cast<T>(old ^ mask); });
  }

  /// The explorer's: the value, without a step.
  T peek() const noexcept { return value_; }

  operator T() const noexcept { return load(); }
  T operator=(T value) noexcept {
    store(value);
    return value;
  }
  T operator++() noexcept { return static_cast<T>(fetch_add(1) + 1); }
  T operator--() noexcept { return static_cast<T>(fetch_sub(1) - 1); }
  T operator++(int) noexcept { return fetch_add(1); }
  T operator--(int) noexcept { return fetch_sub(1); }
  T operator+=(difference n) noexcept { return static_cast<T>(fetch_add(n) + n); }
  T operator-=(difference n) noexcept { return static_cast<T>(fetch_sub(n) - n); }
  T operator|=(T mask) noexcept { return static_cast<T>(fetch_or(mask) | mask); }
  T operator&=(T mask) noexcept { return static_cast<T>(fetch_and(mask) & mask); }
  T operator^=(T mask) noexcept { return static_cast<T>(fetch_xor(mask) ^ mask); }

 private:
  template <typename Update>
  T update(const char* operation, Update new_value) noexcept {
    announce(cadre_model::detail::access::write);
    const T before = value_;
    value_ = new_value(before);
    record(operation, before, value_);
    return before;
  }

  void announce(cadre_model::detail::access kind) const noexcept {
    cadre_model::detail::announce(&value_, kind);
  }

  void record(const char* operation, T before, T after) const noexcept {
    using cadre_model::detail::bits;
    cadre_model::detail::record(operation, &value_, bits(before), bits(after));
  }

  // As std::atomic: an object that the hardware can access in one go.
  alignas(sizeof(T)) T value_;
};

}  // namespace cadre::sync
