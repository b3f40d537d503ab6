// SPDX-License-Identifier: MIT
// spin_until, watch_until: wait awake, for what will probably come before a sleep would have paid off.
#pragma once

#include <algorithm>
#include <chrono>

#include "sync/futex.hpp"

namespace cadre::sync {

/// True as soon as `ready()`, false after some microseconds, which this thread keeps its processor.
///
/// Each look takes the cache line that it looks at away from the thread that works on it, which then
/// waits for it: so the first look comes when the fastest answer can be there, and the next ones not
/// at once.
template <typename Ready>
bool look_until(Ready ready) {
  // More lets the fastest answers wait; less takes the line from whoever is about to write it.
  constexpr std::chrono::nanoseconds first_look{170};
  // More sees the answer later; less disturbs more often whoever works on it.
  constexpr std::chrono::nanoseconds between_looks{50};
  // More keeps this processor from whoever may need it; less makes system calls while an answer is near.
  constexpr int looks = 50;
  if (ready()) return true;
  pause_for(first_look);
  for (int look = 0; look < looks; ++look) {
    if (ready()) return true;
    pause_for(between_looks);
  }
  return false;
}

/// As look_until(), for a line that is written once, by who is done: it is taken from nobody in the
/// midst of work, so all looks are near each other.
template <typename Ready>
bool watch_until(Ready ready) {
  // More keeps this processor from whoever may need it; less makes system calls while an answer is near.
  constexpr int looks = 160;  // some 2 us, where a pause takes 12 ns
  for (int look = 0; look < looks; ++look) {
    if (ready()) return true;
    pause();
  }
  return false;
}

/// Whether it pays to spin before a sleep, as the last ones showed. Of one thread at a time.
class spin_credit {
 public:
  bool pays() const noexcept { return credit_ > 0; }
  /// What came, came while it spun.
  void spun() noexcept { credit_ = std::min(credit_ + 1, most); }
  /// It slept. Had it spun for `budget`, it would have been awake: spinning pays, or does not.
  void slept(std::chrono::nanoseconds took, std::chrono::nanoseconds budget) noexcept {
    credit_ = took / 2 < budget ? 1 : std::max(credit_ - 1, 0);
  }

 private:
  static constexpr int most = 4;
  int credit_ = 1;
};

/// What the waits of this thread have taught it. To look pays if the other side runs on another processor.
/// To yield pays if it waits for this one; but if somebody else does, another process for example, yield()
/// comes back when that has had its turn, milliseconds later, whereas a thread that sleeps is put back as
/// soon as it is woken.
class spin_memory {
 public:
  using clock = std::chrono::steady_clock;

  static spin_memory& here() noexcept {
    static thread_local constinit spin_memory of_this_thread;
#ifdef CADRE_MODEL
    of_this_thread = {};  // each run of a model test takes the same steps
#endif
    return of_this_thread;
  }

  bool may_look() noexcept {
    constexpr unsigned probe = 16;  // without credit, one wait in so many tries
    return look_credit_ > 0 || ++turn_ % probe == 0;
  }
  void looked(bool found) noexcept {
    constexpr int most_credit = 4;
    look_credit_ = found ? std::min(look_credit_ + 1, most_credit) : std::max(look_credit_ - 1, 0);
  }

  bool may_yield() noexcept {
    if (!crowded_) return true;
    if (clock::now() < crowded_until_) return false;
    crowded_ = false;
    return true;
  }
  /// False if somebody else had a turn meanwhile. `now` moves on.
  bool yield(clock::time_point& now) noexcept {
    // What runs here for us is back sooner, sleeps, or had much to do.
    constexpr std::chrono::microseconds turn_of_others{100};
    const clock::time_point before = now;
    sync::yield();
    now = clock::now();
    return now - before < turn_of_others;
  }
  /// That was for nothing: no more yields for a while. The next one is a try, which may cost another such turn.
  void lost_turn(clock::time_point now) noexcept {
    constexpr std::chrono::milliseconds first{200};
    constexpr std::chrono::milliseconds longest{10'000};
    const bool again = now - crowded_until_ < pause_;
    pause_ = again ? std::min<std::chrono::nanoseconds>(2 * pause_, longest) : first;
    crowded_until_ = now + pause_;
    crowded_ = true;
  }
  /// Much came at once: whoever has the processors meanwhile works for us.
  void much_came() noexcept { crowded_ = false; }

 private:
  int look_credit_ = 1;
  unsigned turn_ = 0;
  bool crowded_ = false;
  clock::time_point crowded_until_{};
  std::chrono::nanoseconds pause_{};
};

/// One answer is all that is waited for.
struct never_plenty {
  bool operator()() const noexcept { return false; }
};

/// True as soon as `ready()`, false after `budget`, or as soon as this thread's processor is wanted by others.
/// Other threads may run between the looks: the one that is waited for may need this very processor. If much
/// has come when it returns late, as `plenty()` tells after a look, it was they who had that turn.
template <typename Ready, typename Plenty = never_plenty>
bool yield_until(Ready ready, std::chrono::nanoseconds budget, spin_memory& memory,
                 Plenty plenty = {}) {
  auto now = spin_memory::clock::now();
  const auto begin = now;
  do {
    const bool soon = memory.yield(now);
    const bool found = ready();
    if (!soon && !plenty()) memory.lost_turn(now);
    if (found || !soon) return found;
  } while (now - begin < budget);  // `begin + budget` may be too much for the clock
  return false;
}

/// As yield_until(), but this thread keeps its processor.
template <typename Ready>
bool pause_until(Ready ready, std::chrono::nanoseconds budget) {
  constexpr std::chrono::nanoseconds between_looks{50};
  const auto begin = spin_memory::clock::now();
  do {
    pause_for(between_looks);
    if (ready()) return true;
  } while (spin_memory::clock::now() - begin < budget);
  return false;
}

/// First as `look()`, which are the first looks, if that paid lately; then as yield_until(), if that does.
template <typename Look, typename Ready, typename Plenty>
bool spin_after(Look look, Ready ready, std::chrono::nanoseconds budget, Plenty plenty) {
  if (ready()) return true;
  if (budget <= budget.zero()) return false;
  spin_memory& memory = spin_memory::here();
  const bool looks = memory.may_look();
  bool found = looks && look();
  if (!found && memory.may_yield()) {
    if (!yield_until(ready, budget, memory, plenty)) return false;
    memory.looked(false);
    return true;
  }
  // Where nobody yields, both sides would go on to sleep in turn for ever, if none looked for longer.
  if (!found && looks) found = pause_until(ready, budget);
  if (looks) memory.looked(found);
  return found;
}

/// True as soon as `ready()`, false after some microseconds and then `budget`; without one, after one look.
template <typename Ready>
bool spin_until(Ready ready, std::chrono::nanoseconds budget) {
  return spin_after([&] { return look_until(ready); }, ready, budget, never_plenty{});
}

/// As spin_until(), but its first looks are those of watch_until(). For `plenty` see yield_until().
template <typename Ready, typename Plenty = never_plenty>
bool watch_until(Ready ready, std::chrono::nanoseconds budget, Plenty plenty = {}) {
  return spin_after([&] { return watch_until(ready); }, ready, budget, plenty);
}

}  // namespace cadre::sync
