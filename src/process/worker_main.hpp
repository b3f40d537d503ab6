// SPDX-License-Identifier: MIT
// What a worker process does: it runs the calls that its pool sends, one after the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace cadre::process {

/// A worker_entry. `argument`: an encoded worker_argument; fds: remote_worker::descriptors(). Returns
/// when the pool has sent `end`.
int worker_main(std::span<const std::byte> argument, std::span<const int> fds);

struct worker_argument {
  unsigned index = 0;              // of the worker in its pool
  bool measures_resident = false;  // after each call
  std::uint64_t max_message = 0;   // bytes of a result
  std::string pool = {};           // its name
};

}  // namespace cadre::process
