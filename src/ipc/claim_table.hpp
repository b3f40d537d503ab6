// SPDX-License-Identifier: MIT
// claim_table: which of the calls that were sent to a worker it has begun, and the right to take one
// back that it has not.
//
//     posted(n) --take(n), worker--> taken(n)
//         '-----revoke(n), parent--> revoked(n)
//
// One word a slot, in a page that both write; `number` tells apart the calls that use a slot one
// after another. Of take and revoke, exactly one succeeds.
//
// The worker may scribble on the page. To the parent it is a hint about this worker's own calls and
// nothing else; slots are the parent's to give out again, when it knows by other means that a call
// is over.
//
// dies here: whoever dies between two of these steps leaves a word that says how far the call came.
// After take() the survivor sees taken(n): the call may have run in part, and is lost. Test
// model.claim_table_model.a_worker_that_dies_leaves_the_call_taken_or_to_be_revoked.
#pragma once

#include <cadre/detail/atomic.hpp>
#include <cadre/detail/prefetch.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>

#include "ipc/region.hpp"

namespace cadre::ipc {

class claim_table {
 public:
  static constexpr std::size_t slot_count = 256;

  /// In memory of sizeof(claim_table) bytes that both may write: the parent makes it there, in fresh
  /// memory; the worker finds it there.
  static claim_table& make_in(const region& memory) noexcept {
    return *::new (memory.bytes().data()) claim_table;
  }
  static claim_table& find_in(const region& memory) noexcept {
    return *reinterpret_cast<claim_table*>(memory.bytes().data());
  }

  /// Parent: the call `number` may be taken from now on. The slot's former call is over.
  void post(std::size_t slot, std::uint64_t number) noexcept {
    // release: pairs with the acquire in move(); what the parent did before is done.
    if (slot < slot_count) words_[slot].store(word(number, posted), std::memory_order_release);
  }

  /// Worker: it will probably take a call in this slot.
  void prefetch(std::size_t slot) const noexcept {
    detail::prefetch_for_write(&words_[slot % slot_count]);
  }

  /// Worker: true if it is to run the call; false if the parent has taken it back.
  bool take(std::size_t slot, std::uint64_t number) noexcept { return move(slot, number, taken); }

  /// Parent: true if the worker will not run the call. If it is honest.
  bool revoke(std::size_t slot, std::uint64_t number) noexcept {
    return move(slot, number, revoked);
  }

  /// Parent: true if the worker says that it has begun the call.
  bool is_taken(std::size_t slot, std::uint64_t number) const noexcept {
    // acquire: pairs with the release half in move().
    return slot < slot_count && words_[slot].load(std::memory_order_acquire) == word(number, taken);
  }

  /// Parent: true if the worker cannot have begun the call, if it is honest.
  bool is_untaken(std::size_t slot, std::uint64_t number) const noexcept {
    if (slot >= slot_count) return false;
    // acquire: pairs with the release half in move(), as in is_taken().
    const std::uint64_t now = words_[slot].load(std::memory_order_acquire);
    return now == word(number, posted) || now == word(number, revoked);
  }

  /// Parent: true if the word of a call that is neither revoked nor over says what it can say.
  bool is_sound(std::size_t slot, std::uint64_t number) const noexcept {
    if (slot >= slot_count) return false;
    // relaxed: a look at memory that the worker may have damaged; nothing is read after it.
    const std::uint64_t now = words_[slot].load(std::memory_order_relaxed);
    return now == word(number, posted) || now == word(number, taken);
  }

 private:
  enum state : std::uint64_t { unused, posted, taken, revoked };
  static std::uint64_t word(std::uint64_t number, state now) noexcept { return number << 2 | now; }

  bool move(std::size_t slot, std::uint64_t number, state to) noexcept {
    std::uint64_t expected = word(number, posted);
    // acq_rel: pairs with the release in post(), and with the acquire in is_taken(). relaxed on
    // failure: the other side was first, and nothing follows from it.
    return slot < slot_count &&
           words_[slot].compare_exchange_strong(
               expected, word(number, to), std::memory_order_acq_rel, std::memory_order_relaxed);
  }

  std::array<sync::atomic<std::uint64_t>, slot_count> words_{};
};

static_assert(sync::atomic<std::uint64_t>::is_always_lock_free);

}  // namespace cadre::ipc
