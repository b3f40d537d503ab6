// SPDX-License-Identifier: MIT
// Source: landlock(7).
#include "process/landlock.hpp"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <stdexcept>
#include <system_error>

#include "ipc/descriptor.hpp"

namespace cadre::process {
namespace {

/// As of Linux 6.12, which is later than the headers that this is built with. An older kernel is given
/// the part that it knows.
struct ruleset_attributes {
  std::uint64_t files = 0;
  std::uint64_t tcp = 0;
  std::uint64_t scopes = 0;

  std::size_t size(long version) const noexcept {
    if (version >= 6) return sizeof *this;
    return version >= 4 ? sizeof files + sizeof tcp : sizeof files;
  }
};

constexpr std::uint64_t truncate = std::uint64_t{1} << 14U;
constexpr std::uint64_t device_commands = std::uint64_t{1} << 15U;
constexpr std::uint64_t bind_and_connect = 3;
constexpr std::uint64_t abstract_sockets_and_signals = 3;

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error{what + ": " + std::generic_category().message(errno)};
}

// Later kernels know more rights; those of the first version are 0 to 12, then one or two each.
constexpr std::uint64_t rights_of_version(long version) {
  constexpr std::uint64_t first = (std::uint64_t{1} << 13U) - 1;
  constexpr std::uint64_t refer = std::uint64_t{1} << 13U;
  return first | (version >= 2 ? refer : 0) | (version >= 3 ? truncate : 0) |
         (version >= 5 ? device_commands : 0);
}

void allow(int ruleset, const std::string& path, std::uint64_t rights) {
  const ipc::descriptor place{::open(path.c_str(), O_PATH | O_CLOEXEC)};
  struct stat status {};
  if (!place || ::fstat(place.get(), &status) != 0) fail("no access to " + path);
  // A file that is no directory can be given no rights of directories.
  constexpr std::uint64_t of_files = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                     LANDLOCK_ACCESS_FS_READ_FILE | truncate | device_commands;
  if (!S_ISDIR(status.st_mode)) rights &= of_files;
  const landlock_path_beneath_attr rule{rights, place.get()};
  if (::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
    fail("a rule for " + path + " was refused (Landlock)");
  }
}

}  // namespace

long landlock_version() noexcept {
  return ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

void apply_landlock(const landlock_rules& rules) {
  const long version = landlock_version();
  const std::uint64_t all = rights_of_version(version);
  constexpr std::uint64_t reading =
      LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
  const ruleset_attributes handled{rules.files ? all : 0, rules.tcp ? bind_and_connect : 0,
                                   rules.outside ? abstract_sockets_and_signals : 0};
  const ipc::descriptor ruleset{
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, handled.size(version), 0))};
  if (!ruleset) fail("no set of rules was made (Landlock)");
  if (rules.files) {
    for (const std::string& path : rules.readable_paths) allow(ruleset.get(), path, reading);
    for (const std::string& path : rules.writable_paths) allow(ruleset.get(), path, all);
  }
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) {
    fail("the rules were refused (Landlock)");
  }
}

}  // namespace cadre::process
