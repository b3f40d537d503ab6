// SPDX-License-Identifier: MIT
// How many workers of a pool are in which condition, as one atomic word: a reader sees all numbers
// as of one moment, and a change is one fetch_add.
#pragma once

#include <cstdint>

namespace cadre::detail {

struct census {
  static constexpr unsigned bits = 12;  // up to 4095 workers
  static constexpr std::uint64_t field = (std::uint64_t{1} << bits) - 1;

  // To add (or subtract) one of each.
  static constexpr std::uint64_t one_live = 1;
  static constexpr std::uint64_t one_idle = one_live << bits;
  static constexpr std::uint64_t one_parked = one_idle << bits;
  static constexpr std::uint64_t one_waking = one_parked << bits;
  static constexpr std::uint64_t one_blocked = one_waking << bits;

  std::uint64_t word;

  unsigned get(std::uint64_t one) const noexcept {
    return static_cast<unsigned>(word / one & field);
  }
  unsigned live() const noexcept { return get(one_live); }        ///< threads, starting ones too
  unsigned idle() const noexcept { return get(one_idle); }        ///< of these, with no call
  unsigned parked() const noexcept { return get(one_parked); }    ///< of the idle, asleep
  unsigned waking() const noexcept { return get(one_waking); }    ///< idle, told to wake up
  unsigned blocked() const noexcept { return get(one_blocked); }  ///< of live: their call waits
};

}  // namespace cadre::detail
