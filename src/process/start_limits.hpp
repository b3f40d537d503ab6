// SPDX-License-Identifier: MIT
// How long the starter waits for others. It counts ticks, each a wait of its own, and not the time from
// begin to end: while this program is stopped, or gets no processor, nobody can answer it, and no tick
// passes.
#pragma once

#include <chrono>

namespace cadre::process {

// A shorter one costs more wake-ups while something is waited for, a longer one rounds the limits below.
inline constexpr std::chrono::milliseconds tick{100};

// After these, whoever owes an answer gets a SIGCONT, in case somebody has stopped it: most is mended
// by that, and it hurts nobody. Longer: a stopped zygote holds up starts for longer.
inline constexpr unsigned nudge_ticks = 2;

// After these, a worker whose pidfd says that it ended is told to be dead, though the zygote has not
// said how. A shorter time loses exit codes and signals on a busy machine; a longer one lets a call
// overrun its time limit when the zygote is stopped.
inline constexpr unsigned untold_ticks = 8;

// After these, a zygote that owes an answer and is silent is killed, with its workers. A shorter time
// costs these on a machine that is very busy; a longer one lets starts wait for a zygote that somebody
// has wedged. It forks in a millisecond.
inline constexpr unsigned patience_ticks = 40;

// A worker that was forked says its first word within these, or is ended. It only has to prepare
// itself, which takes a millisecond.
inline constexpr unsigned first_word_ticks = 50;

// The same for what is executed: static objects of the program are initialised within it. A shorter
// limit fails on machines that are slow; a longer one lets a program wait that runs its main() twice.
inline constexpr unsigned start_ticks = 300;

// At the end: the zygote ends its workers, and what these have left, within these, or is ended.
inline constexpr unsigned end_ticks = 50;

}  // namespace cadre::process
