// SPDX-License-Identifier: MIT
// What a worker process does: it runs the calls that its pool sends, one after the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "process/frame.hpp"

namespace cadre::process {

/// A worker_entry. `argument`: an encoded worker_argument; fds: remote_worker::descriptors(). Returns
/// when the pool has sent `end`. If what it sends is no frame, says so on stderr and returns out_of_step:
/// nothing more is obeyed.
int worker_main(std::span<const std::byte> argument, std::span<const int> fds);
/// As that, but throws stream_error instead.
int serve_pool(std::span<const std::byte> argument, std::span<const int> fds);

/// The exit code of a worker that lost its place in the stream.
inline constexpr int out_of_step = 117;

struct worker_argument {
  unsigned index = 0;              // of the worker in its pool
  bool measures_resident = false;  // after each call
  std::uint64_t max_message = 0;   // bytes of a result
  std::string pool = {};           // its name
  frame_secrets secrets = {};      // of the frames in its channel
};

}  // namespace cadre::process
