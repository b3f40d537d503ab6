// SPDX-License-Identifier: MIT
// submit_options: how one call is to be treated, or each of the calls of a map, a timer, a retry.
//
//     auto page = pool.submit({.name = "fetch", .timeout = 2s, .retries = 1}, &fetch, url);
//     for (auto& image : pool.map({.call = {.name = "resize", .priority = -1}}, &resize, paths)) show(image);
//
// Cost       None for what is not set; a name, a stop_token or expires_in, some 200 bytes in the call.
#pragma once

#include <cadre/config.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <stop_token>
#include <string>

namespace cadre {

/// How one call is to be treated.
struct submit_options {
  std::string name = {};  ///< for messages, reports and traces
  int priority = 0;       ///< a higher one overtakes queued lower ones; equal ones keep their order
  /// Stopped while the call is pending: cancels it. While it runs: as future::request_stop().
  std::stop_token stop_token = {};
  /// How long the answer may take from submit() on, the time in the queue included. A call that has not
  /// begun by then does not run: its future fails with timeout_error. One that runs is asked to stop, as
  /// by future::request_stop(): on a thread it may go on, and its future then has what it returns; in a
  /// worker process it is killed after `grace`, and its future fails with timeout_error. Callbacks of
  /// calls that did not run are made on the thread of all timers (timer.hpp).
  std::optional<std::chrono::nanoseconds> expires_in = {};

  // For executors that can kill what runs; others throw std::invalid_argument, but see if_possible.

  /// How long the call may run. Then it is asked to stop, after `grace` its worker gets SIGTERM, and
  /// after `grace` again SIGKILL; the future fails with timeout_error.
  std::optional<std::chrono::nanoseconds> timeout = {};
  std::chrono::nanoseconds grace = std::chrono::milliseconds{100};
  /// How often the call is run again if its worker died of it. Each run has the whole `timeout`; a call
  /// that ran out of it is not run again.
  unsigned retries = 0;
  /// Bytes that the call may allocate; more is std::bad_alloc there. 0: no limit.
  std::size_t max_memory = 0;
  /// Executors that cannot kill what runs do without timeout, retries and max_memory.
  bool if_possible = false;
};

namespace detail {

[[noreturn]] CADRE_API void throw_limits(const char* who);
/// For executors that cannot kill what runs: throws std::invalid_argument if `options` ask for it.
inline void refuse_limits(const char* who, const submit_options& options) {
  const bool limited = options.timeout || options.retries != 0 || options.max_memory != 0;
  if (limited && !options.if_possible) throw_limits(who);
}

}  // namespace detail
}  // namespace cadre
