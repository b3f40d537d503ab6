// SPDX-License-Identifier: MIT
// process_status: what the kernel says of a thread or process in its file "status", read in one go.
//
//     const process_status status;  // of the calling thread
//     status.field("Umask");   // "0022"
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cadre::process {

class process_status {
 public:
  /// Without /proc it has no fields. Throws std::system_error for want of descriptors or memory. Cost: 10
  /// us.
  process_status() : process_status{"/proc/thread-self/status"} {}
  /// Of the main thread of that process.
  explicit process_status(pid_t process)
      : process_status{"/proc/" + std::to_string(process) + "/status"} {}

  /// What stands in the line of that name, without the blanks around it; empty if there is none.
  std::string_view field(std::string_view name) const noexcept;

  /// The same, as a set of signals or capabilities: bit 0 for the first.
  std::optional<std::uint64_t> set(std::string_view name) const noexcept;

 private:
  explicit process_status(const std::string& path);

  std::string text_;
};

}  // namespace cadre::process
