// SPDX-License-Identifier: MIT
// What a worker process leaves behind when a signal like SIGSEGV ends it: signal, address, stack.
//
//     crash_page page;                  // in the parent; page.fd() goes to the worker
//     record_crashes(fd);              // in the worker, before user code
//     if (auto crash = page.read()) log(crash->signal);  // in the parent, once the worker is dead
//
// The page is shared memory that the worker writes. The parent copies it and trusts nothing in it.
#pragma once

#include <cadre/errors.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ipc/descriptor.hpp"
#include "ipc/region.hpp"

namespace cadre::process {

struct crash_info {
  int signal = 0;
  int code = 0;                     // si_code
  std::uint64_t address = 0;        // si_addr: where the access or the instruction was
  int system_call = -1;             // of SIGSYS: which one the sandbox refused
  std::vector<stack_frame> frames;  // innermost first
};

class crash_page {
 public:
  /// Throws std::system_error.
  crash_page();

  int fd() const noexcept { return page_.handle.get(); }
  /// Once the worker has it.
  void close_fd() noexcept { page_.handle.reset(); }

  /// What the worker recorded, if it did.
  std::optional<crash_info> read() const;

 private:
  ipc::created_region page_;
};

/// Makes SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT and SIGSYS of this process write to that page, and then do
/// what they did before; on this thread also when its stack overflows. Throws as ipc::region::open.
void record_crashes(const ipc::descriptor& page);

/// To be called before many workers are forked, and before a sandbox closes: loads what the first
/// backtrace needs, and finds the bounds of the stack.
void prepare_crash_records() noexcept;

}  // namespace cadre::process
