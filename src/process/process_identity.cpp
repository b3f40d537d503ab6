// SPDX-License-Identifier: MIT
#include "process/process_identity.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <vector>

#include "ipc/descriptor.hpp"

namespace cadre::process {
namespace {

constexpr const char* unknown = "cadre: this process cannot learn whose rights it has";

std::vector<gid_t> supplementary_groups() {
  std::vector<gid_t> groups;
  for (;;) {
    const int count = ::getgroups(0, nullptr);
    if (count < 0) ipc::throw_errno(unknown);
    groups.resize(static_cast<std::size_t>(count));
    // Another thread may have changed them in between.
    const int got = count == 0 ? 0 : ::getgroups(count, groups.data());
    if (got < 0) continue;
    groups.resize(static_cast<std::size_t>(got));
    std::sort(groups.begin(), groups.end());
    return groups;
  }
}

std::string number_of(const struct stat& file) {
  return ' ' + std::to_string(file.st_dev) + ':' + std::to_string(file.st_ino);
}

/// What the system lets it do beside its ids: capabilities, filters of system calls.
std::string capabilities_and_filters(const process_status& status) {
  std::string all;
  for (const char* field : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs",
                            "Seccomp", "Seccomp_filters"}) {
    all += ' ';
    all += status.field(field);
  }
  return all;
}

std::string root_directory() {
  struct stat file {};
  return ::stat("/", &file) == 0 ? number_of(file) : std::string{};
}

/// A directory that the process may not search, and in which it could not stand again if it left it. A
/// zygote is in it from its start.
std::string closed_directory() {
  struct stat file {};
  if (::stat(".", &file) == 0 || errno != EACCES) return {};
  return ::stat("/proc/thread-self/cwd", &file) == 0 ? number_of(file) : " closed";
}

}  // namespace

std::string namespaces_of_this_thread() {
  std::string all;
  const ipc::descriptor folder{::open("/proc/thread-self/ns", O_PATH | O_DIRECTORY | O_CLOEXEC)};
  if (!folder && errno != ENOENT && errno != EACCES) ipc::throw_errno(unknown);
  if (!folder) return all + " no /proc";
  for (const char* name :
       {"cgroup", "ipc", "mnt", "net", "pid_for_children", "time_for_children", "user", "uts"}) {
    // "uts:[4026531838]", for less than the number costs.
    std::array<char, 64> link{};
    const ssize_t size = ::readlinkat(folder.get(), name, link.data(), link.size());
    if (size > 0) all.append(" ").append(link.data(), static_cast<std::size_t>(size));
  }
  return all;
}

std::string process_identity(const process_status& status, std::string_view namespaces) {
  std::array<uid_t, 3> users{};
  std::array<gid_t, 3> groups{};
  if (::getresuid(&users[0], &users[1], &users[2]) != 0) ipc::throw_errno(unknown);
  if (::getresgid(&groups[0], &groups[1], &groups[2]) != 0) ipc::throw_errno(unknown);
  std::string all = "users";
  for (const uid_t user : users) all += ' ' + std::to_string(user);
  all += " groups";
  for (const gid_t group : groups) all += ' ' + std::to_string(group);
  all += " others";
  for (const gid_t group : supplementary_groups()) all += ' ' + std::to_string(group);
  all += " rights" + capabilities_and_filters(status);
  all += " in" + root_directory();
  all += namespaces;
  all += " at" + closed_directory();
  return all;
}

}  // namespace cadre::process
