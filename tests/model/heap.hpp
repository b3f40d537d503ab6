// SPDX-License-Identifier: MIT
#pragma once

namespace cadre_model::heap {

/// From now on, and until unwatch(), keeps what is freed.
void watch() noexcept;

/// Gives the kept blocks back. Returns how many more blocks were allocated than freed since watch().
long unwatch() noexcept;

/// A scope in which nothing is counted or kept: for the explorer's own memory.
class unwatched {
 public:
  unwatched() noexcept;
  ~unwatched();
  unwatched(const unwatched&) = delete;
  unwatched& operator=(const unwatched&) = delete;

 private:
  bool before_;
};

/// True if `address` lies in a block that was freed since watch().
bool is_freed(const void* address) noexcept;

}  // namespace cadre_model::heap
