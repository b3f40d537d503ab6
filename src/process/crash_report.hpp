// SPDX-License-Identifier: MIT
// What a worker process leaves behind when a signal like SIGSEGV ends it: signal, address, stack.
//
//     crash_page page;                  // in the parent; page.fd() goes to the worker
//     record_crashes(fd);               // in the worker, before user code
//     if (auto crash = page.read()) log(crash->text());  // in the parent, once the worker is dead
//
// The page is shared memory that the worker writes. The parent copies it and trusts nothing in it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "process/unique_fd.hpp"

namespace cadre::process {

struct crash_frame {
  std::string module;    // its path; empty: the program itself
  std::uint64_t offset;  // from where that is loaded
};

struct crash_info {
  int signal = 0;
  int code = 0;                     // si_code
  std::uint64_t address = 0;        // si_addr: where the access or the instruction was
  std::vector<crash_frame> frames;  // innermost first

  /// One line per frame: "#0 parse(char const*)+0x1f (/usr/bin/prog+0x4a1f)". Reads the symbol
  /// tables of the files. Cost: milliseconds.
  std::string text() const;
};

class crash_page {
 public:
  /// Throws std::system_error.
  crash_page();
  ~crash_page();
  crash_page(const crash_page&) = delete;
  crash_page& operator=(const crash_page&) = delete;

  int fd() const noexcept { return fd_.get(); }
  /// Once the worker has it.
  void close_fd() noexcept { fd_.close(); }

  /// What the worker recorded, if it did.
  std::optional<crash_info> read() const;

 private:
  unique_fd fd_;
  const void* memory_ = nullptr;
};

/// Makes SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT of this process write to the page `fd`, and then
/// do what they did before; on this thread also when its stack overflows. Throws std::system_error.
void record_crashes(int fd);

/// To be called before many workers are forked: loads what the first backtrace needs.
void prepare_crash_records() noexcept;

}  // namespace cadre::process
