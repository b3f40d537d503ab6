// SPDX-License-Identifier: MIT
// deadline_scope: a stop_token that is stopped when its time is over. with_timeout: get(), or give up.
//
//     cadre::deadline_scope limit{5s};
//     cadre::task_group group{pool, limit.get_token()};
//     ...
//     group.wait();
//     limit.check();                                         // throws timeout_error if it came to that
//
//     double y = cadre::with_timeout(5s, pool.submit(&simulate, 42));
//
// Threads    get_token, expired and check: any. Stop callbacks of the token run on the thread of all
//            timers (timer.hpp), or where the parent is stopped: they must not block. They may destroy
//            the scope; one that runs as it is destroyed elsewhere goes on.
// Nesting    A scope made with the token of another one is stopped when that is, too.
// Errors     std::system_error if the thread cannot be started.
// Cost       Four heap blocks, one of them a timer.
// Source     Python's asyncio.timeout and asyncio.wait_for.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/state.hpp>
#include <cadre/future.hpp>

#include <chrono>
#include <memory>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace cadre {

class CADRE_API deadline_scope {
 public:
  /// A limit <= 0 is over at once.
  template <typename Rep, typename Period>
  explicit deadline_scope(std::chrono::duration<Rep, Period> limit, std::stop_token parent = {})
      : deadline_scope{at{detail::deadline_after(limit)}, std::move(parent)} {}
  template <typename Clock, typename Duration>
  explicit deadline_scope(std::chrono::time_point<Clock, Duration> limit,
                          std::stop_token parent = {})
      : deadline_scope{at{detail::deadline_at(limit)}, std::move(parent)} {}
  /// The token is stopped only if the deadline passed before.
  ~deadline_scope();
  deadline_scope(const deadline_scope&) = delete;
  deadline_scope& operator=(const deadline_scope&) = delete;

  std::stop_token get_token() const noexcept;
  /// True once the deadline has passed. Not if only the parent was stopped.
  bool expired() const noexcept;
  /// Throws timeout_error if the deadline has passed.
  void check() const;

 private:
  struct at {
    detail::time_point time;
  };
  class impl;

  deadline_scope(at limit, std::stop_token parent);

  std::unique_ptr<impl> impl_;
};

/// f.get(), of an lvalue or an rvalue, for at most `limit`. Then it cancels the call, or asks it to
/// stop if it runs, and throws timeout_error without waiting for it to obey.
template <typename Rep, typename Period, typename Future>
  requires detail::is_future<std::remove_cvref_t<Future>>
decltype(auto) with_timeout(std::chrono::duration<Rep, Period> limit, Future&& f) {
  if (!f.wait_for(limit)) {
    f.request_stop();
    // Nobody else has it: how it ends is nobody's concern any more.
    if constexpr (!std::is_lvalue_reference_v<Future>) {
      f.add_done_callback([](const auto& given_up) {
        if (!given_up.cancelled()) static_cast<void>(given_up.exception());
      });
    }
    detail::throw_given_up(detail::access::state_of(f));
  }
  return std::forward<Future>(f).get();
}

}  // namespace cadre
