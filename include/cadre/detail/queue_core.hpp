// SPDX-License-Identifier: MIT
// What a queue is below the type of its elements and their order: room, waiting, counting, the end.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/block.hpp>
#include <cadre/detail/state.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <stop_token>
#include <type_traits>
#include <vector>

namespace cadre::detail {

class CADRE_API queue_core {
 public:
  /// In vain: the deadline passed, or stop was requested.
  enum class outcome : std::uint8_t { done, in_vain, shut_down };

  queue_core(const queue_core&) = delete;
  queue_core& operator=(const queue_core&) = delete;

 protected:
  explicit queue_core(std::size_t max_size);
  /// The derived destructor has called close_and_wait().
  virtual ~queue_core();

  /// Pushes what is at `slot` as soon as there is room.
  outcome put_slot(const void* slot, time_point deadline, const std::stop_token& stop);
  /// Pops into the memory at `slot` as soon as there is something. Shut down: and empty.
  outcome get_slot(void* slot, time_point deadline, const std::stop_token& stop);
  outcome join_until(time_point deadline, const std::stop_token& stop);
  /// `garbage`: unless null, the elements are moved there and count as done.
  void close(void* garbage) noexcept;
  /// close(), then blocks until no thread waits here.
  void close_and_wait(void* garbage) noexcept;

  void count_done();
  void change_max_size(std::size_t max_size) noexcept;
  std::size_t current_max_size() const noexcept;
  std::size_t current_size() const noexcept;
  std::size_t current_unfinished() const noexcept;
  bool is_closed() const noexcept;

  [[noreturn]] static void throw_shut_down(const char* who);

 private:
  class impl;

  // Under a lock of their end. If one throws, nothing has happened. The second is false if there is
  // nothing at the front; the third, under both locks, if there is nothing at all.
  virtual void push_slot(const void* slot) = 0;
  virtual bool pop_front_slot(void* slot) = 0;
  virtual bool pop_back_slot(void* slot) = 0;
  virtual void swap_slots(void* garbage) noexcept = 0;

  std::unique_ptr<impl> impl_;
};

/// Where an element lives while it is in a queue, unless to copy it is to copy its bytes.
template <typename T>
struct queue_box {
  T value;

  static void* operator new(std::size_t size) { return allocate_block(size); }
  static void* operator new(std::size_t size, std::align_val_t align) {
    return ::operator new(size, align);
  }
  static void operator delete(void* box, std::size_t size) noexcept { free_block(box, size); }
  static void operator delete(void* box, std::size_t, std::align_val_t align) noexcept {
    ::operator delete(box, align);
  }
};

template <typename T>
inline constexpr bool is_queued_in_place =
    std::is_trivially_copyable_v<T> && std::is_copy_constructible_v<T> &&
    std::is_copy_assignable_v<T> && sizeof(T) <= block_alignment;

/// What is in the containers of a queue: to copy it runs no code of the user.
template <typename T>
using queue_slot = std::conditional_t<is_queued_in_place<T>, T, queue_box<T>*>;

template <typename T>
const T& slot_value(const queue_slot<T>& slot) noexcept {
  if constexpr (is_queued_in_place<T>) {
    return slot;
  } else {
    return slot->value;
  }
}

/// Destroys the elements of a container of slots.
template <typename T, typename Slots>
void delete_slots(Slots& slots) noexcept {
  if constexpr (!is_queued_in_place<T>) {
    for (queue_box<T>* box : slots) delete box;
  }
  slots.clear();
}

/// The slots of an order with one container, at the back.
template <typename T>
class back_only {
 public:
  using contents = back_only;

  bool pop_front(void*) const noexcept { return false; }
  void swap(back_only& other) noexcept { slots_.swap(other.slots_); }
  void drop_all() noexcept { delete_slots<T>(slots_); }

 protected:
  std::vector<queue_slot<T>> slots_;
};

}  // namespace cadre::detail
