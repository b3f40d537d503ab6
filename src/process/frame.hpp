// SPDX-License-Identifier: MIT
// What goes through the channel between a pool and one of its workers: a header, `size` bytes, and, if
// there are any, padding and `parts` bytes: the large parts of the value (codec_parts.hpp).
//
//   to the worker   initialize   a call                                  value or error
//                   call         a call                                  value, error or skipped
//                   forget       nothing; `number` says which memory     no answer
//                   receive      nothing but its packets                 no answer
//                   end          a call (the finalizer) or nothing       none: it exits
//
// Answers come in the order of the requests. A call that the parent has revoked in the claim table
// is answered by `skipped`.
//
// Ahead of a frame, `packets` packets go through a socket (packet.hpp): modules and shared memory. No
// byte of an argument or of a result ever goes that way. So what is in the channel can name code, but
// only in modules that the parent itself has loaded.
//
// Bytes of an argument must never be taken for a header, neither by a fault of ours nor because a
// stranger wrote them for it. So each header begins with a check, of a secret that the two processes
// share and the number of the frame in its direction. Who reads a header verifies that first, and uses no
// other field of one that is wrong: the worker ends, the parent condemns its worker. Every frame counts,
// also those of calls that are skipped. The secret is made at random for each worker and told to it
// when it starts; it never enters a channel. See ADR 0022.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <type_traits>

#include "process/module_table.hpp"

namespace cadre::process {

enum class frame_kind : std::uint16_t {
  initialize,
  call,
  forget,
  receive,
  end,
  value,
  error,
  skipped
};

struct request_header {
  std::uint64_t check = 0;  // see frame_checks
  frame_kind kind = frame_kind::call;
  std::uint16_t is_measured = 0;  // the answer is to say how long it took
  std::uint32_t packets = 0;      // that were sent ahead of it, see packet.hpp
  std::uint64_t number = 0;       // of the call, for this worker; its slot in the claim table
  std::uint64_t size = 0;         // of what follows
  std::uint64_t parts = 0;        // and of the large parts behind it
  code_address descriptor = {};   // of the call_descriptor
  std::uint64_t type = 0;         // what it must say
  std::uint64_t max_memory = 0;   // bytes that the call may allocate; 0: no limit
  std::uint64_t name_size = 0;    // of `size`: what comes first is the name of the call
};

struct answer_header {
  std::uint64_t check = 0;  // see frame_checks
  frame_kind kind = frame_kind::value;
  std::uint16_t unused = 0;   // padding would carry what nobody meant to tell
  std::uint32_t packets = 0;  // of shared memory, that were sent ahead of it
  std::uint64_t number = 0;
  std::uint64_t size = 0;      // of what follows: the value, or the exception
  std::uint64_t parts = 0;     // and of the value's large parts behind it
  std::uint64_t run_ns = 0;    // with decoding and encoding; 0 if not measured
  std::uint64_t resident = 0;  // bytes, after the call; 0 if not measured
};

static_assert(std::is_trivially_copyable_v<request_header>);
static_assert(std::is_trivially_copyable_v<answer_header>);

/// What the checks of a worker's frames are made of, one word for each direction.
struct frame_secrets {
  std::uint64_t to_worker = 0;
  std::uint64_t to_parent = 0;

  /// Of the kernel's random numbers. Throws std::system_error.
  static frame_secrets random();
};

/// The checks of the frames that go in one direction. Its writer and its reader each have one, and
/// count alike.
class frame_checks {
 public:
  explicit frame_checks(std::uint64_t secret) noexcept : secret_{secret} {}

  /// Of the next frame. No two frames have the same: each step can be undone.
  std::uint64_t next() const noexcept {
    const std::uint64_t mixed = (secret_ + count_) * 0x9e3779b97f4a7c15U;
    return mixed ^ mixed >> 32U;
  }
  /// That frame was written.
  void advance() noexcept { ++count_; }
  /// Whether a header with that check is the one of the next frame, which then was read.
  bool accept(std::uint64_t check) noexcept {
    if (check != next()) return false;
    advance();
    return true;
  }

 private:
  const std::uint64_t secret_;
  std::uint64_t count_ = 0;
};

/// In a worker: what came from its pool, or did not come, is nothing that a sound pool sends. The worker
/// must end, since it does not know any more what the bytes behind it are.
class stream_error : public std::runtime_error {
 public:
  using runtime_error::runtime_error;
};

}  // namespace cadre::process
