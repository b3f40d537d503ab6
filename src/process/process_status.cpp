// SPDX-License-Identifier: MIT
// Source: proc_pid_status(5).
#include "process/process_status.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "ipc/descriptor.hpp"

namespace cadre::process {

process_status::process_status(const std::string& path) {
  const ipc::descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  // Whoever compares must not take want of descriptors for a change.
  if (!file && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
    ipc::throw_errno("cadre: cannot learn whose rights this process has (/proc)");
  }
  if (!file) return;
  // More than most processes need; those in thousands of groups have a longer line.
  std::size_t used = 0;
  std::size_t room = 4096;
  for (;;) {
    text_.resize(used + room);
    const ssize_t got = ::read(file.get(), text_.data() + used, room);
    if (got < 0 && errno == EINTR) continue;
    if (got > 0) used += static_cast<std::size_t>(got);
    if (got < static_cast<ssize_t>(room)) break;
    room = used;
  }
  text_.resize(used);
}

std::string_view process_status::field(std::string_view name) const noexcept {
  constexpr std::string_view blanks = " \t";
  std::string_view rest{text_};
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (!line.starts_with(name) || line.substr(name.size(), 1) != ":") continue;
    line.remove_prefix(name.size() + 1);
    line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
    return line.substr(0, line.find_last_not_of(blanks) + 1);
  }
  return {};
}

std::optional<std::uint64_t> process_status::set(std::string_view name) const noexcept {
  const std::string_view text = field(name);
  std::uint64_t bits = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), bits, 16);
  if (text.empty() || failed != std::errc{}) return std::nullopt;
  return bits;
}

}  // namespace cadre::process
