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

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace cadre {

/// The base of all of them. The message says who, what, why and what now.
class CADRE_API error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
  ~error() override;
};

/// get() and exception() of a future that was cancelled: by cancel(), by a stop_token given at
/// submit, or by shutdown({.cancel_pending = true}). The call never ran, or died with its worker and
/// waited for one of its `retries`.
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

/// The executor cannot run the call: its initializer threw, it could not start a worker, or it belongs to the
/// parent of this forked process. When its is_broken() is true, or after a fork, it runs none any more: make a
/// new one. Else what was missing may be there again, and a later call run.
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

/// task_group::wait(): calls of the group have failed. Each exception is as it was thrown; those of a
/// nested group are one exception_group. Source: Python's ExceptionGroup (PEP 654).
class CADRE_API exception_group : public error {
 public:
  /// `who`: how the message begins. Neither the vector nor an element of it is empty.
  exception_group(const std::string& who, std::vector<std::exception_ptr> exceptions);
  ~exception_group() override;

  /// In the order in which the calls failed.
  const std::vector<std::exception_ptr>& exceptions() const noexcept { return *exceptions_; }

 private:
  std::shared_ptr<const std::vector<std::exception_ptr>> exceptions_;  // to copy it throws nothing
};

/// A place in the code of a process: an address in a file of code. The file is the path of a shared
/// object; empty is the program itself.
struct stack_frame {
  std::string file = {};
  std::uint64_t address = 0;
};

/// Where an exception was thrown that comes from another process. Standard types and registered
/// ones arrive as their own type, those derived from them as the nearest of these, with this as a
/// second base; see origin_of().
class CADRE_API remote_origin {
 public:
  remote_origin() = default;
  remote_origin(const remote_origin&) = default;
  remote_origin(remote_origin&&) = default;
  remote_origin& operator=(const remote_origin&) = default;
  remote_origin& operator=(remote_origin&&) = default;
  virtual ~remote_origin();

  /// One line per frame: the names of the functions, from where it was thrown outwards. Reads the
  /// symbols of the program's files, which takes milliseconds.
  std::string backtrace() const;

  std::string host;
  int pid = 0;
  std::string call;         ///< its name, if it has one
  std::string thrown_type;  ///< the name of the type that was thrown
  std::vector<stack_frame> frames;
};

/// The origin of an exception that was thrown in another process; null if it was in this one. Lives
/// as long as the exception.
CADRE_API const remote_origin* origin_of(const std::exception& e) noexcept;
CADRE_API const remote_origin* origin_of(const std::exception_ptr& e) noexcept;

/// A call in another process threw something whose type cadre does not know, nor any base of it but
/// std::exception. To keep the type, register it: see register_exception.hpp.
class CADRE_API remote_error : public error, public remote_origin {
 public:
  /// `message` is the what() of what was thrown, empty if it has none.
  remote_error(std::string type_name, std::string message, remote_origin origin);
  ~remote_error() override;

  const std::string& type_name() const noexcept { return type_name_; }
  const std::string& message() const noexcept { return message_; }

 private:
  std::string type_name_;
  std::string message_;
};

/// How a worker process ended.
struct CADRE_API worker_death {
  int pid = 0;
  int signal = 0;  ///< the signal that ended it; 0: it exited, with exit_code
  int exit_code = 0;
  std::string call = {};  ///< the name of the call that it ran, if that has one
  std::optional<std::uint64_t> fault_address = {};  ///< of a SIGSEGV or SIGBUS that nobody sent
  /// Of a crash, innermost first, as far as its stack is whole. None if no handler of the library could run: a
  /// thread that the call started overflowed its stack, or the call has a handler of its own.
  std::vector<stack_frame> frames = {};
  std::uint64_t peak_memory = 0;  ///< in bytes; 0: unknown
  std::string hint = {};          ///< what the pool can tell about the cause

  /// One line per frame of a crash: the names of the functions. Reads the symbols of the program's files,
  /// which takes milliseconds.
  std::string backtrace() const;
};

/// The worker process that ran this call has died. The pool has replaced it; other calls are not
/// affected. The call may have had effects: submit it again, or use {.retries}, if it may run twice.
class CADRE_API worker_died : public error {
 public:
  explicit worker_died(worker_death how);
  ~worker_died() override;

  const worker_death& how() const noexcept { return how_; }
  int pid() const noexcept { return how_.pid; }
  int signal() const noexcept { return how_.signal; }
  int exit_code() const noexcept { return how_.exit_code; }

 private:
  worker_death how_;
};

}  // namespace cadre
