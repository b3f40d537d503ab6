// SPDX-License-Identifier: MIT
#include "executor/submit_note.hpp"

#include <utility>

namespace cadre::detail {
namespace {

using clock = std::chrono::steady_clock;

struct submitter {
  // Far enough to hide the way of a line between two processors, near enough to be in the list.
  static constexpr unsigned remembered = 8;

  unsigned skip = 0;  // calls until the next one that is timed
  unsigned position = 0;
  clock::time_point last_timed{};
  std::intptr_t calls[remembered] = {};
};

constinit thread_local submitter here;

std::uint32_t coarse_time(clock::time_point t) noexcept {
  const auto ns = std::chrono::nanoseconds{t.time_since_epoch()}.count();
  return static_cast<std::uint32_t>(static_cast<std::uint64_t>(ns) >> 10) << 1 | 1;
}

// noinline: else each submission saves the registers that only this needs.
[[gnu::noinline]] void note_time(state_base& call) noexcept {
  // Of calls that come fast one in 32 is timed: the clock costs as much as the submission.
  constexpr unsigned skipped = 31;
  constexpr std::chrono::microseconds fast{32};
  const clock::time_point now = clock::now();
  if (now - std::exchange(here.last_timed, now) < fast) here.skip = skipped;
  call.submit_note = coarse_time(now);
}

}  // namespace

void note_submission(state_base& call) noexcept {
  const auto address = reinterpret_cast<std::intptr_t>(&call);
  const std::intptr_t older =
      std::exchange(here.calls[here.position++ % submitter::remembered], address);
  if (here.skip == 0) return note_time(call);
  --here.skip;
  const std::intptr_t blocks = (older - address) / static_cast<std::intptr_t>(block_alignment);
  const auto narrow = static_cast<std::int32_t>(blocks);
  call.submit_note = older != 0 && narrow == blocks ? static_cast<std::uint32_t>(narrow) << 1 : 0;
}

std::uint64_t ns_since_submission(const state_base& call) noexcept {
  const std::uint32_t waited = (coarse_time(clock::now()) >> 1) - (call.submit_note >> 1);
  return std::uint64_t{waited & 0x7fffffff} << 10;
}

}  // namespace cadre::detail
