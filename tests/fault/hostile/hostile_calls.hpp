// SPDX-License-Identifier: MIT
// Calls that do to their pool whatever a process can that shares memory, sockets and a zygote with it. What
// they do follows from a number, so that it can be done again.
#pragma once

#include <string>
#include <vector>

namespace cadre::test {

/// All processes below the test carry this in their environment: its pid, which nobody else's do.
inline constexpr const char* hostile_mark = "CADRE_HOSTILE_RUN";

/// The processes that carry the mark, but for this one.
std::vector<int> marked_processes();

/// Some hostile steps and an end: to return, to throw, to die, or none. Spares the process `tester`, and
/// all that are not marked. Returns a number if it does.
int attack(unsigned seed, int tester);

/// In a worker: all calls that it was sent look as if it had not begun them.
void deny_calls();

/// Such an attack does not end the zygote by a signal. It may stop it.
bool spares_the_zygote(unsigned seed) noexcept;

/// What attack(seed) is about to do, for messages.
std::string describe_attack(unsigned seed);

}  // namespace cadre::test
