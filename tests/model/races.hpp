// SPDX-License-Identifier: MIT
// Which steps of a schedule are in which order for a reason, and which only happened to be.
//
// Vector clocks: each thread knows how many accesses of each other thread happened before its next
// one. Two accesses to one address, of which one writes, are a race if neither happened before the
// other by other ways: the other order would have been possible, and might make a difference.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace cadre_model {

class races {
 public:
  void clear();

  /// True if somebody has accessed `address`.
  bool knows(const void* address) const { return accesses_.contains(address); }

  /// What `from` did until now happens before what `to` does from now on.
  void order(int from, int to);

  /// `thread` accesses `address` at `step`. Calls `race(earlier_step)` for each access by another
  /// thread that it is in a race with.
  template <typename Race>
  void access(int thread, const void* address, bool writes, std::size_t step, Race race) {
    history& h = accesses_[address];
    for (const entry& e : h) {
      if (e.thread != thread && (e.writes || writes) && !happened_before(e, thread)) race(e.step);
    }
    add(h, thread, writes, step);
  }

 private:
  static constexpr std::size_t most_threads = 16;
  using clock = std::array<std::uint32_t, most_threads>;

  struct entry {
    int thread;
    bool writes;
    std::size_t step;
    std::uint32_t time;  // the thread's own
    clock known;
  };
  // The last write, then each thread's last read since.
  using history = std::vector<entry>;

  clock& of(int thread) { return threads_.at(static_cast<std::size_t>(thread)); }
  bool happened_before(const entry& e, int thread) {
    return of(thread)[static_cast<std::size_t>(e.thread)] >= e.time;
  }
  void add(history& h, int thread, bool writes, std::size_t step);

  std::array<clock, most_threads> threads_{};
  std::unordered_map<const void*, history> accesses_;
};

}  // namespace cadre_model
