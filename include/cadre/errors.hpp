// SPDX-License-Identifier: MIT
// Every exception that cadre throws: who throws it, and what the caller can do.
//
//     try { use(answer.get_for(1s)); }
//     catch (const cadre::timeout_error&) { answer.cancel(); }
//     catch (const cadre::error& e) { std::cerr << e.what() << '\n'; }
//
// Errors     Arguments that can never be right throw std::invalid_argument instead; memory and
//            threads that the system refuses throw std::bad_alloc and std::system_error.
// Source     Python's concurrent.futures: Error, CancelledError, InvalidStateError, BrokenExecutor.
#pragma once

#include <cadre/config.hpp>

#include <stdexcept>

namespace cadre {

/// The base of all of them. The message says who, what, why and what now.
class CADRE_API error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  ~error() override;
};

/// get() and exception() of a future that was cancelled: by cancel(), by a stop_token given at
/// submit, or by shutdown({.cancel_pending = true}). The call never ran.
class CADRE_API cancelled_error : public error {
 public:
  using error::error;
  ~cancelled_error() override;
};

/// A future or promise was used in a state that does not allow it: get() on an empty future, get()
/// after the value was moved out, a promise set twice. A bug in the program.
class CADRE_API invalid_state_error : public error {
 public:
  using error::error;
  ~invalid_state_error() override;
};

/// get_for, get_until, as_completed and map: the time is over. The calls go on; the future may be
/// waited for again, or cancelled.
class CADRE_API timeout_error : public error {
 public:
  using error::error;
  ~timeout_error() override;
};

/// The promise was destroyed before it was given a value or an exception.
class CADRE_API broken_promise : public error {
 public:
  using error::error;
  ~broken_promise() override;
};

/// submit, post and map after shutdown() began. Make a new executor.
class CADRE_API shutdown_error : public error {
 public:
  using error::error;
  ~shutdown_error() override;
};

/// The executor can run no calls any more: its initializer threw, it could not start a worker, or
/// it belongs to the parent of this forked process. Make a new executor.
class CADRE_API broken_executor : public error {
 public:
  using error::error;
  ~broken_executor() override;
};

/// submit on a pool with {.max_pending, .when_full = reject}: as many calls are pending as it
/// allows. Try again later, or submit with another policy.
class CADRE_API queue_full : public error {
 public:
  using error::error;
  ~queue_full() override;
};

/// A wait that could never end: a call waits for itself, or calls wait for each other in a circle.
/// Thrown in the call whose wait would have closed the circle. A bug in the program.
class CADRE_API deadlock_error : public error {
 public:
  using error::error;
  ~deadlock_error() override;
};

/// A value could not be encoded, for its size or its depth, or bytes are not the value that they
/// should be. Of the result of a call: the call did run. See codec.hpp.
class CADRE_API codec_error : public error {
 public:
  using error::error;
  ~codec_error() override;
};

}  // namespace cadre
