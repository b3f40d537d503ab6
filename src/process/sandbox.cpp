// SPDX-License-Identifier: MIT
// Source: seccomp(2), landlock(7).
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <stdexcept>
#include <system_error>

#include "process/worker_process.hpp"
#include "process/worker_spec.hpp"

namespace cadre::process {
namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error{"a worker process cannot be confined, so it does not start: " + what +
                           ": " + std::generic_category().message(errno)};
}

#if defined(__x86_64__)
constexpr std::uint32_t own_architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t own_architecture = AUDIT_ARCH_AARCH64;
#else
constexpr std::uint32_t own_architecture = 0;
#endif

void deny_system_calls(const std::vector<int>& numbers) {
  constexpr std::uint16_t load = BPF_LD | BPF_W | BPF_ABS;
  constexpr std::uint16_t equal = BPF_JMP | BPF_JEQ | BPF_K;
  constexpr std::uint16_t at_least = BPF_JMP | BPF_JGE | BPF_K;
  constexpr std::uint16_t answer = BPF_RET | BPF_K;
  // The same call has another number in another architecture, as in the x32 variant of x86-64.
  constexpr std::uint32_t first_of_x32 = 0x40000000;
  std::vector<sock_filter> filter{
      {load, 0, 0, offsetof(seccomp_data, arch)},
      {equal, 1, 0, own_architecture},
      {answer, 0, 0, SECCOMP_RET_KILL_PROCESS},
      {load, 0, 0, offsetof(seccomp_data, nr)},
      {at_least, 0, 1, first_of_x32},
      {answer, 0, 0, SECCOMP_RET_KILL_PROCESS},
  };
  for (const int number : numbers) {
    filter.push_back({equal, 0, 1, static_cast<std::uint32_t>(number)});
    filter.push_back({answer, 0, 0, SECCOMP_RET_ERRNO | EPERM});
  }
  filter.push_back({answer, 0, 0, SECCOMP_RET_ALLOW});
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  if (filter.size() > BPF_MAXINSNS ||
      ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0) {
    fail("the list of denied system calls was refused (seccomp)");
  }
}

// Later kernels know more rights; those of the first version are 0 to 12, then one or two each.
constexpr std::uint64_t rights_of_version(long version) {
  constexpr std::uint64_t first = (std::uint64_t{1} << 13U) - 1;
  constexpr std::uint64_t refer = std::uint64_t{1} << 13U;
  constexpr std::uint64_t truncate = std::uint64_t{1} << 14U;
  return first | (version >= 2 ? refer : 0) | (version >= 3 ? truncate : 0);
}

void allow(int ruleset, const std::string& path, std::uint64_t rights) {
  const ipc::descriptor place{::open(path.c_str(), O_PATH | O_CLOEXEC)};
  struct stat status {};
  if (!place || ::fstat(place.get(), &status) != 0) fail("no access to " + path);
  // A file that is no directory can be given no rights of directories.
  constexpr std::uint64_t of_files = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
                                     LANDLOCK_ACCESS_FS_READ_FILE | std::uint64_t{1} << 14U;
  if (!S_ISDIR(status.st_mode)) rights &= of_files;
  const landlock_path_beneath_attr rule{rights, place.get()};
  if (::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
    fail("a rule for " + path + " was refused (Landlock)");
  }
}

void restrict_files(const sandbox_spec& sandbox) {
  const long version =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 0) fail("this kernel restricts no files (Landlock)");
  if (!has_one_thread()) {
    errno = EBUSY;
    fail("static objects of the program have started threads, which Landlock would not restrict");
  }
  const std::uint64_t all = rights_of_version(version);
  constexpr std::uint64_t reading =
      LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
  const landlock_ruleset_attr handled{all};
  const ipc::descriptor ruleset{
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0))};
  if (!ruleset) fail("no set of rules was made (Landlock)");
  for (const std::string& path : sandbox.readable_paths) allow(ruleset.get(), path, reading);
  for (const std::string& path : sandbox.writable_paths) allow(ruleset.get(), path, all);
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) {
    fail("the rules were refused (Landlock)");
  }
}

}  // namespace

void apply_sandbox(const sandbox_spec& sandbox) {
  const bool denies = !sandbox.denied_system_calls.empty();
  if (!sandbox.no_new_privileges && !denies && !sandbox.restrict_files) return;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("PR_SET_NO_NEW_PRIVS was refused");
  if (sandbox.restrict_files) restrict_files(sandbox);
  if (denies) deny_system_calls(sandbox.denied_system_calls);
}

}  // namespace cadre::process
