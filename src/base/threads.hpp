// SPDX-License-Identifier: MIT
// Threads of cadre's own.
#pragma once

#include <system_error>
#include <thread>
#include <utility>

#include "base/signals.hpp"

namespace cadre {

/// One that takes no signals, until it sets its own mask. Throws std::system_error, which says what to raise.
template <typename Function>
std::thread start_thread(Function function) {
  const signals_blocked here;
  try {
    return std::thread{std::move(function)};
  } catch (const std::system_error& e) {
    throw std::system_error{e.code(),
                            "cadre: cannot start a thread (raise ulimit -u, ulimit -v, or pids.max "
                            "and memory.max of the cgroup)"};
  }
}

}  // namespace cadre
