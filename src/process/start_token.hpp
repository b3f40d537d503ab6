// SPDX-License-Identifier: MIT
// What the starter's poller tells of: a number of a zygote or a worker, and in the two low bits what
// about it.
#pragma once

#include <cstdint>

namespace cadre::process::start_token {

// Numbers begin with 1.
inline constexpr std::uint64_t wake = 0;
inline constexpr std::uint64_t fork_answer = 1;
inline constexpr std::uint64_t watch = 2;

enum class about : std::uint8_t { nothing, word_of_zygote, exit_of_zygote, exit_of_worker };

constexpr std::uint64_t make(std::uint64_t number, about what) {
  return number << 2U | static_cast<std::uint64_t>(what);
}
constexpr std::uint64_t word_of_zygote(std::uint64_t number) {
  return make(number, about::word_of_zygote);
}
constexpr std::uint64_t exit_of_zygote(std::uint64_t number) {
  return make(number, about::exit_of_zygote);
}
constexpr std::uint64_t exit_of_worker(std::uint64_t id) { return make(id, about::exit_of_worker); }
constexpr std::uint64_t number_in(std::uint64_t token) { return token >> 2U; }
constexpr about about_in(std::uint64_t token) { return static_cast<about>(token & 3U); }

}  // namespace cadre::process::start_token
