// SPDX-License-Identifier: MIT
// parent_end and worker_end: bytes both ways between a process and one of its workers, and sleep
// until there are some. Both are channel_end; they differ in how they wake the other one up.
//
//     parent.write_some(request);                 while (worker.wait({.bytes = 1})) {
//     parent.publish();                             size = worker.read_some(buffer, sizeof buffer);
//     if (parent.arm({.bytes = 1}) == arming::armed) sleep_in_the_poller();
//
// Each side has a region that only it can write (side, below, and the ring of what it sends), and
// sees the other's read-only. There is no lock, so that none can be left behind by a death.
//
//   word    written      says
//   tail    publish()    how much this side published; see ring.hpp
//   head    consume()    how much it consumed
//   sleep   arm()        the number of its present sleep, and what for; bits 0: it is awake
//   bell    ring()       parent only: changes at every ring; the worker sleeps on it
//
//   sleeper                                    waker
//   S0  worker: note the bell                  P1  publish bytes, or give back room
//   S1  sleep := a new number, and what for    P2  read sleep; done if it is not for this,
//   S2  look once more; if it came, do not         or its number is the one rung for last
//       sleep                                  P3  note the number; ring: worker's eventfd to the
//   S3  sleep: while the bell is as noted          parent, or bell += 1 and wake
//       (futex), or in the poller
//
// Who looks by itself after a while may leave it until then to be rung for bytes: the waker then goes to P2
// only when it has nothing more to read, or is about to sleep.
//
// S1, S2, P1 and P2 are seq_cst. In their single order either P1 comes before S2, and the sleeper
// sees it; or S1 before P2, and the waker sees this sleep, or a later state, in which the sleeper
// has looked again. If it sees this sleep, it rings now, or has done so since S1. A ring that comes
// after S1 ends S3, whenever it comes: the bell is no longer as noted at S0, and an edge of the
// eventfd stays until it is reported. That holds also if the wake itself finds nobody asleep, so P3
// may note the number without knowing; and as each sleep has a new number, it holds for the sleep
// after a spurious wake.
//
// dies here: between P1 and P3, the survivor sleeps on, until its deadline or the news of the death,
// and then finds all that was published; at any other step it sees what was published before. Test
// model.channel_model.a_sleeper_survives_the_death_of_its_waker.
//
// Threads    One thread at a time writes (write_some, publish, writable), one reads (readable,
//            read_some, peek, consume). To sleep for bytes is reading, for room is writing.
// Cost       While the other side is awake, no system call. A ring is one, once per sleep.
#pragma once

#include <cadre/detail/atomic.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "ipc/event.hpp"
#include "ipc/region.hpp"
#include "ipc/ring.hpp"
#include "sync/futex.hpp"
#include "sync/spin.hpp"

namespace cadre::ipc {

/// More finds answers of longer calls without a sleep, which costs some 50 us to be ended on another
/// processor; less leaves the processor to others.
inline constexpr std::chrono::nanoseconds default_spin{50'000};

/// The words of one side, at the begin of its region. Lines of their own: the other side keeps those
/// that do not change.
struct side {
  alignas(64) position tail{0};
  alignas(64) position head{0};
  alignas(64) sync::atomic<std::uint64_t> sleep{0};
  alignas(64) sync::atomic<std::uint32_t> bell{0};
};

struct own_half {
  side& words;
  std::span<std::byte> ring;
};

struct peer_half {
  const side& words;
  std::span<const std::byte> ring;
};

/// The size of a region with a ring of `capacity` bytes, which must be a power of two. A larger ring
/// lets longer messages be written in one go; its pages cost memory once they were used.
std::size_t channel_region_size(std::size_t capacity);

/// The halves in a region of channel_region_size(): its owner's view, of fresh memory, and the other
/// side's. The region must outlive what is made from them.
own_half own_half_of(const region& mine) noexcept;
peer_half peer_half_of(const region& theirs) noexcept;

/// What to wait for; each at most the capacity of its ring. 0: not for this.
struct wish {
  std::size_t bytes = 0;  // that can be read
  std::size_t room = 0;   // that can be written
  bool late = false;      // a ring for bytes may wait until the other side has nothing to do
};

enum class arming {
  armed,    // sleep: a ring will come
  granted,  // do not sleep: what was wished for is there
  poisoned  // for good: replace the worker; there will be nothing to wait for
};

/// `Bell`: wakes the other side, by ring().
template <typename Bell>
class channel_end {
 public:
  channel_end(own_half own, peer_half peer, Bell bell) noexcept
      : out_{own.ring, own.words.tail, peer.words.head, poisoned_},
        in_{peer.ring, peer.words.tail, own.words.head, poisoned_},
        sleep_{own.words.sleep},
        peer_sleep_{peer.words.sleep},
        bell_{std::move(bell)} {}
  channel_end(const channel_end&) = delete;
  channel_end& operator=(const channel_end&) = delete;

  // --- the thread that writes ---

  /// Copies as many of `bytes` as there is room for, and returns how many. The other side does not
  /// see them before publish(): done every 64 KB or so of a long message, it lets the other side copy
  /// out while this one copies in.
  std::size_t write_some(std::span<const std::byte> bytes) noexcept {
    return out_.write_some(bytes);
  }
  void publish() noexcept {
    if (out_.publish()) wake(reason::bytes, rung_for_bytes_);
  }
  /// This side will soon have nothing to do: the other one is to know now what was published.
  void run_dry() noexcept { wake(reason::late_bytes, rung_for_bytes_); }
  /// Fetches the lines that the next so many bytes will be written to.
  void prefetch_for_write(std::size_t size) const noexcept { out_.prefetch(size); }
  /// Whether write_some() would take so many bytes. Cheaper than writable().
  bool has_room(std::size_t size) noexcept { return out_.has_room(size); }
  /// How many bytes write_some() would take now.
  std::size_t writable() noexcept { return out_.writable(); }

  // --- the thread that reads ---

  /// How many bytes can be read now.
  std::size_t readable() noexcept { return in_.readable(); }

  /// Copies as many bytes as there are, at most `size`, and returns how many.
  std::size_t read_some(void* to, std::size_t size) noexcept {
    const std::size_t copied = in_.copy_some(static_cast<std::byte*>(to), size);
    if (copied != 0) consume(copied);
    return copied;
  }

  /// The next bytes in place, as far as they lie together; none if there are none. A broken writer
  /// may change them at any moment.
  std::span<const std::byte> peek() noexcept { return in_.peek(); }
  /// Takes bytes out that were seen by readable() or peek().
  void consume(std::size_t size) noexcept {
    in_.consume(size);
    wake(reason::room, rung_for_room_);
  }

  // --- both ---

  /// The other side wrote positions that cannot be. It stays so: nothing is readable or writable any
  /// more, and the worker has to be replaced.
  bool poisoned() const noexcept { return is_set(poisoned_); }

  bool granted(wish w) noexcept {
    return (w.bytes != 0 && readable() >= w.bytes) || (w.room != 0 && writable() >= w.room);
  }

  /// Steps S1 and S2: asks for a ring when the wish may be granted, unless it is already.
  arming arm(wish w) noexcept {
    sleep_number_ += sleep_step;
    // seq_cst: step S1; pairs with P2 in wake().
    sleep_.store(sleep_number_ | bits_of(w), std::memory_order_seq_cst);
    const bool there = granted(w);
    if (!there && !poisoned()) return arming::armed;
    disarm();
    return there ? arming::granted : arming::poisoned;
  }

  /// After a sleep. Rings may still come, of a waker that was slow.
  void disarm() noexcept {
    // relaxed: who sees it too late rings in vain.
    sleep_.store(sleep_number_, std::memory_order_relaxed);
  }

 private:
  enum class reason : std::uint64_t { bytes = 1, room = 2, late_bytes = 4 };
  static constexpr std::uint64_t sleep_step = 8;  // the number is above the reasons

  static std::uint64_t bits_of(wish w) noexcept {
    const reason bytes = w.late ? reason::late_bytes : reason::bytes;
    return (w.bytes != 0 ? static_cast<std::uint64_t>(bytes) : 0) |
           (w.room != 0 ? static_cast<std::uint64_t>(reason::room) : 0);
  }

  void wake(reason why, std::uint64_t& rung_for) noexcept {
    // seq_cst: step P2; pairs with S1 in arm().
    const std::uint64_t sleep = peer_sleep_.load(std::memory_order_seq_cst);
    if ((sleep & static_cast<std::uint64_t>(why)) == 0 || sleep == rung_for) return;
    rung_for = sleep;
    bell_.ring();
  }

  poison poisoned_{false};
  ring_writer<> out_;
  ring_reader<> in_;
  sync::atomic<std::uint64_t>& sleep_;
  const sync::atomic<std::uint64_t>& peer_sleep_;
  Bell bell_;
  std::uint64_t sleep_number_ = 0;    // the sleeper's
  std::uint64_t rung_for_bytes_ = 0;  // the writer's
  std::uint64_t rung_for_room_ = 0;   // the reader's
};

/// How the parent wakes a worker.
class futex_bell {
 public:
  explicit futex_bell(sync::atomic<std::uint32_t>& word) noexcept : word_{&word} {}
  void ring() noexcept {
    // relaxed: the worker looks at what was published only through S1 and S2.
    word_->fetch_add(1, std::memory_order_relaxed);
    sync::futex_wake_shared(word_);
  }

 private:
  sync::atomic<std::uint32_t>* word_;
};

/// In the parent. To sleep, it waits in a poller that watches, by its edges, the event which the
/// worker rings.
class parent_end : public channel_end<futex_bell> {
 public:
  parent_end(own_half own, peer_half peer) noexcept
      : channel_end{own, peer, futex_bell{own.words.bell}} {}
};

/// In the worker. `Event`: the parent's.
template <typename Event>
class basic_worker_end : public channel_end<Event> {
 public:
  basic_worker_end(own_half own, peer_half peer, Event event) noexcept
      : channel_end<Event>{own, peer, std::move(event)}, peer_bell_{peer.words.bell} {}

  /// Blocks until the wish is granted. False after the deadline, or if the channel is poisoned.
  /// `spin`: how long to look before going to sleep.
  bool wait(wish w, sync::time_point deadline = sync::never,
            std::chrono::nanoseconds spin = default_spin) {
    const auto over = [&] { return this->granted(w) || this->poisoned(); };
    // Some small messages: more than comes from one who waits for the answer to each. A larger number takes
    // a busy sender's turn for a stranger's.
    constexpr std::size_t much = 320;
    const auto plenty = [&] { return this->readable() >= much; };
    if (!over()) this->run_dry();
    if (spinning_.pays() ? sync::watch_until(over, spin, plenty) : over()) {
      spinning_.spun();
      return !this->poisoned();
    }
    const auto begin = std::chrono::steady_clock::now();
    for (bool in_time = true; in_time;) {
      // relaxed: step S0; the store of S1 is a release, which it does not pass.
      const std::uint32_t seen = peer_bell_.load(std::memory_order_relaxed);
      const arming now = this->arm(w);
      if (now != arming::armed) return now == arming::granted;
      in_time = sync::futex_wait_shared(peer_bell_, seen, deadline);
      this->disarm();
      if (!over()) continue;
      spinning_.slept(std::chrono::steady_clock::now() - begin, spin);
      if (plenty()) sync::spin_memory::here().much_came();
      return !this->poisoned();
    }
    return false;
  }

 private:
  const sync::atomic<std::uint32_t>& peer_bell_;
  sync::spin_credit spinning_;
};

using worker_end = basic_worker_end<event>;

}  // namespace cadre::ipc
