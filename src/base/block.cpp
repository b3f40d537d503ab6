// SPDX-License-Identifier: MIT
// The block cache.
//
// Each thread fills and empties magazines of 254 addresses; the depot, behind a lock, exchanges full
// ones for empty ones.
// Source: J. Bonwick, J. Adams, "Magazines and Vmem" (2001).
#include <cadre/detail/block.hpp>
#include <cadre/detail/prefetch.hpp>

#include <pthread.h>

#include <memory>
#include <mutex>
#include <new>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#define CADRE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CADRE_ASAN 1
#endif
#endif

#ifdef CADRE_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) static_cast<void>(address)
#define ASAN_UNPOISON_MEMORY_REGION(address, size) static_cast<void>(address)
#endif

namespace cadre::detail {
namespace {

// More classes: frames of larger coroutines are recycled too. Each costs a thread two magazines.
constexpr std::size_t classes = 8;  // 64, 128, ... 512 bytes
constexpr std::size_t largest = classes * block_alignment;

constexpr std::size_t class_of(std::size_t size) { return (size - 1) / block_alignment; }

/// The addresses of free blocks. They stand here and not in the blocks: to allocate must not wait
/// for a cache line that another processor wrote last.
struct magazine {
  static constexpr std::size_t capacity = 254;  // with the two members below: 2 KiB

  magazine* next = nullptr;  // the depot's
  std::size_t count = 0;
  void* blocks[capacity];
};

/// What threads exchange: full magazines, and empty ones to fill.
class depot {
 public:
  constexpr explicit depot(std::size_t block_size) noexcept : block_size_{block_size} {}

  /// A full magazine, made from new memory if there is none. `empty`, if not null, is given back.
  /// Throws std::bad_alloc; then `empty` stays with the caller.
  magazine* exchange_for_full(magazine* empty) {
    {
      const std::lock_guard lock{mutex_};
      if (full_ != nullptr) {
        if (empty != nullptr) push(empty_, empty);
        return pop(full_);
      }
    }
    if (empty != nullptr) return fill(empty);
    auto fresh = std::make_unique_for_overwrite<magazine>();
    fill(fresh.get());
    return fresh.release();
  }
  /// An empty magazine, or null if there is no memory for one. `full`, if not null, is given back.
  magazine* exchange_for_empty(magazine* full) noexcept {
    {
      const std::lock_guard lock{mutex_};
      if (full != nullptr) push(full_, full);
      if (empty_ != nullptr) return pop(empty_);
    }
    return new (std::nothrow) magazine;
  }
  /// From threads that end, or whose thread_local objects are gone: any number of blocks.
  void give_back(magazine* some) noexcept {
    const std::lock_guard lock{mutex_};
    push(some->count != 0 ? full_ : empty_, some);
  }

  std::mutex& mutex() noexcept { return mutex_; }

 private:
  static void push(magazine*& list, magazine* m) noexcept { m->next = std::exchange(list, m); }
  static magazine* pop(magazine*& list) noexcept { return std::exchange(list, list->next); }

  /// As one slab, which stays for ever.
  magazine* fill(magazine* m) {
    const std::size_t size = block_size_ * magazine::capacity;
    auto* slab = static_cast<std::byte*>(::operator new(size, std::align_val_t{block_alignment}));
    // The last one is taken first: in the order of their addresses, which processors prefetch.
    for (std::size_t i = magazine::capacity; i-- > 0;) {
      m->blocks[m->count++] = slab + i * block_size_;
    }
    ASAN_POISON_MEMORY_REGION(slab, size);
    return m;
  }

  const std::size_t block_size_;
  std::mutex mutex_;
  magazine* full_ = nullptr;   // guarded by mutex_; a few may be part full
  magazine* empty_ = nullptr;  // guarded by mutex_
};

// Never destroyed: futures may outlive every static object.
constinit depot depots[classes]{depot{1 * block_alignment}, depot{2 * block_alignment},
                                depot{3 * block_alignment}, depot{4 * block_alignment},
                                depot{5 * block_alignment}, depot{6 * block_alignment},
                                depot{7 * block_alignment}, depot{8 * block_alignment}};

// A thread of the parent may hold a depot's lock while another forks; the child must find it free.
[[maybe_unused]] const int registered = ::pthread_atfork(
    [] {
      for (depot& d : depots) d.mutex().lock();
    },
    [] {
      for (depot& d : depots) d.mutex().unlock();
    },
    [] {
      for (depot& d : depots) d.mutex().unlock();
    });

/// Two magazines for each size: one in use, one full or empty in reserve, so that a thread that
/// allocates and frees around a boundary does not go to the depot each time.
struct thread_cache {
  magazine* current[classes];
  magazine* reserve[classes];
};

// Trivial types, so that they stay usable while other thread_local objects are destroyed.
constinit thread_local thread_cache cache{};
enum class cache_state : unsigned char { untouched, in_use, gone };
constinit thread_local cache_state life = cache_state::untouched;

/// Returns the thread's blocks to the depot when it ends.
struct cache_guard {
  cache_guard() noexcept { life = cache_state::in_use; }
  ~cache_guard() {
    life = cache_state::gone;
    for (std::size_t c = 0; c < classes; ++c) {
      for (magazine** m : {&cache.current[c], &cache.reserve[c]}) {
        if (*m != nullptr) depots[c].give_back(std::exchange(*m, nullptr));
      }
    }
  }
};

bool usable() noexcept {
  if (life == cache_state::untouched) {
    static thread_local cache_guard guard;
  }
  return life == cache_state::in_use;
}

void* pop(magazine& m) noexcept {
  void* block = m.blocks[--m.count];
  // Somebody else wrote last to the blocks that follow; fetch one meanwhile.
  constexpr std::size_t ahead = 4;
  if (m.count >= ahead) prefetch_for_write(m.blocks[m.count - ahead]);
  return block;
}

// noinline, here and below: else the usual way saves the registers that only this one needs.
[[gnu::noinline, gnu::cold]] void* refill_and_pop(std::size_t c) {
  if (!usable()) {
    magazine* m = depots[c].exchange_for_full(nullptr);
    void* block = pop(*m);
    depots[c].give_back(m);
    return block;
  }
  magazine*& current = cache.current[c];
  std::swap(current, cache.reserve[c]);
  if (current == nullptr || current->count == 0) {
    magazine* full = depots[c].exchange_for_full(current);
    current = full;
  }
  return pop(*current);
}

[[gnu::noinline, gnu::cold]] void make_room_and_push(std::size_t c, void* block) noexcept {
  if (!usable()) {
    magazine* m = depots[c].exchange_for_empty(nullptr);
    if (m == nullptr) return;  // out of memory: this block is lost, which frees none but harms none
    m->blocks[m->count++] = block;
    depots[c].give_back(m);
    return;
  }
  magazine*& current = cache.current[c];
  std::swap(current, cache.reserve[c]);
  if (current == nullptr || current->count == magazine::capacity) {
    current = depots[c].exchange_for_empty(current);
    if (current == nullptr) return;  // as above
  }
  current->blocks[current->count++] = block;
}

}  // namespace

void* allocate_block(std::size_t size) {
  if (size > largest) return ::operator new(size, std::align_val_t{block_alignment});
  const std::size_t c = class_of(size);
  magazine* m = cache.current[c];
  void* block = m != nullptr && m->count != 0 ? pop(*m) : refill_and_pop(c);
  ASAN_UNPOISON_MEMORY_REGION(block, (c + 1) * block_alignment);
  return block;
}

void free_block(void* block, std::size_t size) noexcept {
  if (size > largest) {
    ::operator delete(block, std::align_val_t{block_alignment});
    return;
  }
  const std::size_t c = class_of(size);
  ASAN_POISON_MEMORY_REGION(block, (c + 1) * block_alignment);
  magazine* m = cache.current[c];
  if (m != nullptr && m->count != magazine::capacity) {
    m->blocks[m->count++] = block;
  } else {
    make_room_and_push(c, block);
  }
}

}  // namespace cadre::detail
