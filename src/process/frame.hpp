// SPDX-License-Identifier: MIT
// What goes through the channel between a pool and one of its workers: a header, `size` bytes, and, if
// there are any, padding and `parts` bytes: the large parts of the value (codec_parts.hpp).
//
//   to the worker   learn_module   the description of the next module      no answer
//                   initialize     a call                                  value or error
//                   call           a call                                  value, error or skipped
//                   forget         nothing; `number` says which memory     no answer
//                   end            a call (the finalizer) or nothing       none: it exits
//
// Answers come in the order of the requests. A call that the parent has revoked in the claim table
// is answered by `skipped`. Shared memory goes ahead in packets of its own, as many as `memories` says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "process/module_table.hpp"

namespace cadre::process {

enum class frame_kind : std::uint16_t {
  learn_module,
  initialize,
  call,
  forget,
  end,
  value,
  error,
  skipped
};

struct request_header {
  frame_kind kind = frame_kind::call;
  std::uint16_t is_measured = 0;  // the answer is to say how long it took
  std::uint32_t slot = 0;         // in the claim table
  std::uint64_t number = 0;       // of the call, for this worker
  std::uint64_t size = 0;         // of what follows
  std::uint64_t parts = 0;        // and of the large parts behind it
  code_address descriptor = {};   // of the call_descriptor
  std::uint64_t type = 0;         // what it must say
  std::uint64_t max_memory = 0;   // bytes that the call may allocate; 0: no limit
  std::uint64_t memories = 0;     // packets, see shared_memory.hpp
  std::uint64_t name_size = 0;    // of `size`: what comes first is the name of the call
};

struct answer_header {
  frame_kind kind = frame_kind::value;
  std::uint16_t unused[3] = {};  // padding would carry what nobody meant to tell
  std::uint64_t number = 0;
  std::uint64_t size = 0;      // of what follows: the value, or the exception
  std::uint64_t parts = 0;     // and of the value's large parts behind it
  std::uint64_t memories = 0;  // packets, see shared_memory.hpp
  std::uint64_t run_ns = 0;    // with decoding and encoding; 0 if not measured
  std::uint64_t resident = 0;  // bytes, after the call; 0 if not measured
};

static_assert(std::is_trivially_copyable_v<request_header>);
static_assert(std::is_trivially_copyable_v<answer_header>);

}  // namespace cadre::process
