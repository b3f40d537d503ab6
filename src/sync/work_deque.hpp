// SPDX-License-Identifier: MIT
// A worker's own queue: the owner pushes at the bottom; owner and thieves take from the top.
//
// Source: D. Chase, Y. Lev, "Dynamic circular work-stealing deque" (2005); orders after N. M. Le et
// al. (2013), with sequentially consistent accesses in place of the fences, which ThreadSanitizer
// does not see.
//
//   field      owner              thief
//   bottom_    reads, writes      reads
//   top_       compare-exchange   compare-exchange
//   ring_      reads, replaces    reads
//
// An item at index i is taken by whoever moves top_ from i to i + 1, or by the owner's pop() when
// it is not the last one. Outgrown rings stay until the end, since a thief may be reading one.
#pragma once

#include <cadre/detail/atomic.hpp>
#include <cadre/detail/prefetch.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace cadre::sync {

template <typename T>
class work_deque {
 public:
  /// `capacity`: a power of two; it grows.
  explicit work_deque(std::size_t capacity = 256) : ring_{install(capacity)} {}

  work_deque(const work_deque&) = delete;
  work_deque& operator=(const work_deque&) = delete;

  /// Owner only: how many of `count` items can be pushed without std::bad_alloc. Grows for that, to
  /// twice the size at most.
  std::size_t make_room(std::size_t count) noexcept {
    // relaxed, acquire, relaxed: as in place(), pairs with the compare-exchange in take().
    const std::int64_t bottom = bottom_.load(std::memory_order_relaxed);
    const std::int64_t top = top_.load(std::memory_order_acquire);
    const ring* current = ring_.load(std::memory_order_relaxed);  // relaxed: the owner's own
    const auto room = [&] { return static_cast<std::size_t>(current->mask + 1 - (bottom - top)); };
    if (room() < count) {
      try {
        current = grow(top, bottom);
      } catch (const std::bad_alloc&) {  // then as many as there is room for
      }
    }
    return std::min(room(), count);
  }

  /// Owner only. Throws std::bad_alloc if it must grow and cannot; then nothing was pushed.
  void push(T* item) {
    // seq_cst: releases the item to the acquire half of the load in take(), and is step P1 of the
    // dispatcher's sleep protocol; pairs with the worker that announces its sleep and looks again.
    bottom_.store(place(item), std::memory_order_seq_cst);
  }

  /// As push(), but a worker that goes to sleep at this moment may not see the item.
  void push_quietly(T* item) {
    // release: pairs with the acquire half of the load in take().
    bottom_.store(place(item), std::memory_order_release);
  }

  /// Owner only: the newest item, or null.
  T* pop() noexcept {
    // relaxed: only the owner writes both.
    const std::int64_t bottom = bottom_.load(std::memory_order_relaxed) - 1;
    ring* current = ring_.load(std::memory_order_relaxed);
    // seq_cst, both: pairs with the two loads in take(); either the thief sees the item gone, or we
    // see it taken.
    bottom_.store(bottom, std::memory_order_seq_cst);
    std::int64_t top = top_.load(std::memory_order_seq_cst);
    if (top < bottom) return current->get(bottom);
    T* item = nullptr;
    if (top == bottom) {
      item = current->get(bottom);
      // seq_cst: pairs with the same compare-exchange in take(): one of us gets the last item.
      // relaxed on failure: it is gone.
      if (!top_.compare_exchange_strong(top, top + 1, std::memory_order_seq_cst,
                                        std::memory_order_relaxed)) {
        item = nullptr;
      }
    }
    bottom_.store(bottom + 1, std::memory_order_relaxed);  // relaxed: back to where it was
    return item;
  }

  /// Any thread: the oldest item; null if there is none, or somebody else took it just now.
  T* take() noexcept {
    // seq_cst, both: pairs with the store and load in pop(). The second acquires the item from the
    // store in push().
    std::int64_t top = top_.load(std::memory_order_seq_cst);
    if (top >= bottom_.load(std::memory_order_seq_cst)) return nullptr;
    // acquire: pairs with the release in grow(). Read before the compare-exchange: afterwards
    // the slot may be overwritten.
    T* item = ring_.load(std::memory_order_acquire)->get(top);
    // seq_cst: pairs with pop(), and with the acquire of top_ in place(). relaxed on failure: the
    // caller looks again, or elsewhere.
    return top_.compare_exchange_strong(top, top + 1, std::memory_order_seq_cst,
                                        std::memory_order_relaxed)
               ? item
               : nullptr;
  }

  /// Any thread: asks the processor for the line of an item that take() will return soon.
  void prefetch() const noexcept {
    constexpr std::int64_t ahead = 6;
    // relaxed, all: a wrong guess does no harm.
    const std::int64_t next = top_.load(std::memory_order_relaxed) + ahead;
    if (next < bottom_.load(std::memory_order_relaxed)) {
      detail::prefetch_for_write(ring_.load(std::memory_order_relaxed)->get(next));
    }
  }

  /// Any thread; exact for the owner if no thief is at work.
  /// About how many there are; exact while nobody takes.
  std::size_t size() const noexcept {
    // relaxed, both: a hint, which nothing follows.
    const auto count =
        bottom_.load(std::memory_order_relaxed) - top_.load(std::memory_order_relaxed);
    return count > 0 ? static_cast<std::size_t>(count) : 0;
  }

  bool empty() const noexcept {
    // seq_cst: step W2 of the dispatcher's sleep protocol; pairs with the store in push().
    return top_.load(std::memory_order_seq_cst) >= bottom_.load(std::memory_order_seq_cst);
  }

 private:
  struct ring {
    explicit ring(std::size_t capacity)
        : mask{static_cast<std::int64_t>(capacity) - 1}, slots{new atomic<T*>[capacity]} {}

    // relaxed, both: bottom_ and top_ order the slots.
    T* get(std::int64_t i) const noexcept {
      return slots[static_cast<std::size_t>(i & mask)].load(std::memory_order_relaxed);
    }
    void put(std::int64_t i, T* item) noexcept {
      // relaxed: as get()
      slots[static_cast<std::size_t>(i & mask)].store(item, std::memory_order_relaxed);
    }

    std::int64_t mask;
    std::unique_ptr<atomic<T*>[]> slots;
  };

  /// Puts the item into its slot; returns the next bottom.
  std::int64_t place(T* item) {
    // relaxed: only the owner writes it.
    const std::int64_t bottom = bottom_.load(std::memory_order_relaxed);
    // acquire: pairs with the seq_cst compare-exchange in take(): the slot is free to overwrite.
    const std::int64_t top = top_.load(std::memory_order_acquire);
    ring* current = ring_.load(std::memory_order_relaxed);  // relaxed: only the owner writes it
    if (bottom - top > current->mask) current = grow(top, bottom);
    current->put(bottom, item);
    return bottom + 1;
  }

  ring* install(std::size_t capacity) {
    rings_.push_back(std::make_unique<ring>(capacity));
    return rings_.back().get();
  }

  ring* grow(std::int64_t top, std::int64_t bottom) {
    const ring& old = *rings_.back();
    ring* wider = install(static_cast<std::size_t>(old.mask + 1) * 2);
    for (std::int64_t i = top; i < bottom; ++i) wider->put(i, old.get(i));
    // release: pairs with the acquire in take().
    ring_.store(wider, std::memory_order_release);
    return wider;
  }

  std::vector<std::unique_ptr<ring>> rings_;  // owner only
  atomic<ring*> ring_;
  alignas(64) atomic<std::int64_t> top_{0};
  alignas(64) atomic<std::int64_t> bottom_{0};
};

}  // namespace cadre::sync
