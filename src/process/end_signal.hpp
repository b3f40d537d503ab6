// SPDX-License-Identifier: MIT
// How a worker takes SIGTERM.
//
//   of its pool, at a time limit or by terminate_workers()   it ends at once, by the signal
//   raised by the call itself                                as well
//   of anybody else, as when a whole service is stopped      it finishes the call that it runs, if any,
//                                                            and ends behind it in good order
//
// The pool's carries a mark, since the program's process id is also that of a program that stops its
// whole service itself. A handler of the user's, of a static object or installed by a call, wins. What
// a call executes has the default action again.
#pragma once

namespace cadre::process {

/// The value that comes with the pool's SIGTERM.
inline constexpr int ends_at_once = 0x63616472;

/// For the process that this one forks as a worker, before it has another handler. `ignored`: by the
/// program, so that only the pool's is obeyed.
void take_end_signal(bool ignored) noexcept;

/// While it lives, the worker's main thread waits for a call. If it is told to end meanwhile, or was
/// before, `leave` is called on that thread, which must not return. Nothing that `leave` uses may be
/// locked or half changed by the thread, as it runs in the handler.
class at_rest {
 public:
  explicit at_rest(void (*leave)()) noexcept;
  ~at_rest();
  at_rest(const at_rest&) = delete;
  at_rest& operator=(const at_rest&) = delete;
};

}  // namespace cadre::process
