// SPDX-License-Identifier: MIT
#include "process/sandbox.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "process/landlock.hpp"
#include "process/memory_limit.hpp"
#include "process/system_call_filter.hpp"
#include "process/worker_process.hpp"

namespace cadre {
namespace {

// Of this worker process. Never destroyed: the destructor of a static object may ask.
std::vector<std::string>& missing_here() {
  static auto* const all = new std::vector<std::string>;
  return *all;
}

}  // namespace

std::vector<std::string> missing_protections() { return missing_here(); }

namespace process {
namespace {

// Threads of one call, where only this worker's are counted. More would let an honest library have
// more; fewer, a hostile one less.
constexpr std::uint64_t strict_processes = 64;

// A worker's half of its channel counts as a file.
constexpr std::uint64_t least_file_size = std::uint64_t{1} << 20;

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error{"a worker process cannot be confined, so it does not start: " + what};
}

std::string last_error() { return std::generic_category().message(errno); }

/// What is given up on the way.
class confinement {
 public:
  explicit confinement(const sandbox_spec& spec) : spec_{spec} { missing_here().clear(); }

  /// Of a protection that could not be had. `asked`: by an option of its own, not by `strict` alone.
  void lacks(const std::string& what, bool asked) {
    const bool accepted = spec_.gaps == cadre::sandbox_gaps::any ||
                          (spec_.gaps == cadre::sandbox_gaps::minor && !asked);
    const std::string why = what + ": " + last_error();
    if (!accepted) {
      fail(why +
           "; start on a kernel and in a container that allow it, or accept the gap with "
           "worker.sandbox_gaps");
    }
    missing_here().push_back(why);
  }

 private:
  const sandbox_spec& spec_;
};

/// Some of what follows makes the kernel forget that this process dies with its parent.
class parent_kept {
 public:
  parent_kept() : parent_{::getppid()} { ::prctl(PR_GET_PDEATHSIG, &signal_); }
  void restore() const {
    if (::prctl(PR_SET_PDEATHSIG, signal_) != 0)
      fail("PR_SET_PDEATHSIG was refused: " + last_error());
    if (::getppid() != parent_) ::_exit(0);
  }

 private:
  const pid_t parent_;
  int signal_ = 0;
};

// Of the zygote, and of the workers that it forks.
constinit bool is_session_of_workers = false;

/// False if this process leads its group still.
bool leave_own_group() noexcept {
  const pid_t parents = ::getpgid(::getppid());
  if (parents > 0 && ::setpgid(0, parents) == 0) return true;
  // The parent's group is of another process id namespace, as after `unshare --pid`: one that a child leads
  // will do. Without the C library: this process may be a copy of one with several threads.
  const auto child = static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
  if (child == 0) {
    for (;;) ::pause();
  }
  if (child < 0) return false;
  const bool joined = ::setpgid(child, child) == 0 && ::setpgid(0, child) == 0;
  ::kill(child, SIGKILL);
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return joined;
}

/// The leader of a process group, as a zygote is, and a worker of start_method::fork, must leave that first.
bool leave_session() noexcept {
  if (::getpgrp() == ::getpid()) leave_own_group();
  return ::setsid() >= 0;
}

void begin_session() {
  if (!is_session_of_workers && !leave_session()) fail("setsid was refused: " + last_error());
}

/// A terminal that is its standard output or error is open for reading, too, as a rule, but what is typed
/// is for the program.
void forget_keyboard() {
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    if (::isatty(fd) == 0) continue;
    const std::string path = "/proc/self/fd/" + std::to_string(fd);
    int output = ::open(path.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC);
    if (output < 0) output = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (output < 0 || ::dup2(output, fd) != fd)
      fail("its terminal stays open for reading: " + last_error());
    ::close(output);
  }
}

/// Whether one of them is a user namespace.
bool enter_namespaces(confinement& gaps, bool asked) {
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC) == 0) return true;
  // Whoever may do so needs no user namespace for the others, where those are switched off.
  const bool others = ::unshare(CLONE_NEWNET | CLONE_NEWIPC) == 0;
  gaps.lacks(others ? "a user namespace of its own (Linux 3.8, and the administrator's consent)"
                    : "namespaces of its own for user, network and IPC (Linux 3.8, and the "
                      "administrator's consent)",
             asked);
  return false;
}

void limit(int resource, std::optional<std::uint64_t> value, const char* what) {
  if (!value) return;
  rlimit present{};
  ::getrlimit(static_cast<__rlimit_resource_t>(resource), &present);
  const rlim_t wanted = std::min<rlim_t>(*value, present.rlim_max);
  const rlimit both{wanted, wanted};
  if (::setrlimit(static_cast<__rlimit_resource_t>(resource), &both) != 0) {
    fail(std::string{"no limit of "} + what + ": " + last_error());
  }
}

void set_limits(const sandbox_spec& spec, bool has_own_users) {
  auto processes = spec.processes;
  // Elsewhere all processes of the user are counted, and the limit would hit the innocent.
  if (spec.strict && !processes && has_own_users) processes = strict_processes;
  limit(RLIMIT_NPROC, processes, "processes");
  limit(RLIMIT_CORE, spec.core_size, "the size of core files");
  limit(RLIMIT_FSIZE, spec.file_size, "the size of files");
  limit(RLIMIT_MEMLOCK, spec.locked_memory, "locked memory");
  if (spec.private_memory) {
    const std::uint64_t used = memory_use::now().data;
    if (used == 0) fail("no limit of its private memory, since /proc/self/statm cannot be read");
    limit(RLIMIT_DATA, used + *spec.private_memory, "private memory");
  }
  // Whatever is too large then fails with EFBIG.
  if (spec.file_size) ::signal(SIGXFSZ, SIG_IGN);
}

void drop_capabilities() {
  // Without CAP_SETPCAP the bounding set stays. PR_SET_NO_NEW_PRIVS lets nobody draw from it.
  for (unsigned long each = 0; ::prctl(PR_CAPBSET_READ, each, 0, 0, 0) >= 0; ++each) {
    if (::prctl(PR_CAPBSET_DROP, each, 0, 0, 0) != 0) break;
  }
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
  if (::syscall(SYS_capset, &header, none.data()) != 0) {
    fail("its capabilities could not be dropped: " + last_error());
  }
}

void restrict_reach(const sandbox_spec& spec, confinement& gaps) {
  const long version = landlock_version();
  const int no_landlock = errno;
  landlock_rules rules;
  rules.files = spec.strict || spec.restrict_files;
  rules.tcp = spec.strict;
  rules.outside = spec.strict || spec.isolate_signals;
  const auto require = [&](bool& wanted, long since, const char* what, bool asked) {
    if (!wanted || version >= since) return;
    errno = version < 0 ? no_landlock : ENOSYS;
    gaps.lacks(what, asked);
    wanted = false;
  };
  // Without any path to be opened, the filter of `strict` refuses to open files, too.
  require(rules.files, 1, "files that it cannot open (Landlock, Linux 5.13)",
          !spec.strict || spec.reads_files());
  require(rules.tcp, 4, "no TCP, by Landlock beside the filter of system calls (Linux 6.7)", false);
  require(rules.outside, 6,
          "signals and abstract sockets that end at the worker (Landlock, Linux 6.12)",
          spec.isolate_signals);
  if (!rules.files && !rules.tcp && !rules.outside) return;
  rules.readable_paths = spec.readable_paths;
  rules.writable_paths = spec.writable_paths;
  try {
    apply_landlock(rules);
  } catch (const std::runtime_error& e) {
    fail(e.what());
  }
}

void filter(const sandbox_spec& spec, confinement& gaps) {
  try {
    if (!filter_system_calls(spec))
      gaps.lacks("a filter of system calls (seccomp, Linux 3.17)", true);
  } catch (const std::runtime_error& e) {
    fail(e.what());
  }
}

}  // namespace

sandbox_spec sandbox_of(const worker_settings& from, std::size_t max_message) {
  sandbox_spec spec;
  spec.strict = from.sandbox == cadre::sandbox::strict;
  spec.gaps = from.sandbox_gaps;
  spec.no_new_privileges = from.no_new_privileges;
  spec.new_session = from.new_session;
  spec.no_capabilities = from.no_capabilities;
  spec.own_namespaces = from.own_namespaces;
  spec.isolate_signals = from.isolate_signals;
  spec.no_network = from.no_network;
  spec.no_child_processes = from.no_child_processes;
  spec.denied_system_calls = from.denied_system_calls;
  spec.allowed_system_calls = from.allowed_system_calls;
  spec.restrict_files = from.restrict_files || from.sandbox == cadre::sandbox::files_only;
  spec.readable_paths = from.readable_paths;
  spec.writable_paths = from.writable_paths;
  spec.processes = from.processes;
  spec.core_size = from.core_size;
  spec.file_size = from.file_size;
  spec.locked_memory = from.locked_memory;
  spec.private_memory = from.private_memory;
  if (spec.strict) {
    if (!spec.core_size) spec.core_size = 0;
    if (!spec.file_size) spec.file_size = std::max<std::uint64_t>(max_message, least_file_size);
    if (!spec.locked_memory) spec.locked_memory = 0;
  }
  return spec;
}

void require_possible_sandbox(const worker_settings& settings, cadre::start_method how) {
  const bool strict = settings.sandbox == cadre::sandbox::strict;
  if (strict && how == cadre::start_method::fork) {
    throw std::invalid_argument{
        "process_pool: worker.sandbox cannot be strict with start_method::fork, since such a "
        "worker "
        "has a copy of this process's memory and its open files; use zygote or exec"};
  }
  if (!strict && !settings.allowed_system_calls.empty()) {
    throw std::invalid_argument{
        "process_pool: worker.allowed_system_calls adds to those of worker.sandbox = "
        "sandbox::strict, which is not set; without it all are allowed"};
  }
}

void begin_session_of_workers() noexcept {
  is_session_of_workers = leave_session();  // else each worker begins one
}

void apply_sandbox(const sandbox_spec& spec) {
  if (spec == sandbox_spec{}) return;
  confinement gaps{spec};
  const bool restricts = spec.strict || spec.restrict_files || spec.isolate_signals;
  const bool per_thread = restricts || spec.no_capabilities || spec.own_namespaces;
  if (per_thread && !has_one_thread()) {
    fail("static objects of the program have started threads, which would not be confined: " +
         std::generic_category().message(EBUSY));
  }
  const bool filters = filters_system_calls(spec);
  const parent_kept parent;
  if (restricts) memory_use::keep_open();  // for max_memory, when no more files can be opened
  if (spec.leaves_session()) begin_session();
  if (spec.strict) forget_keyboard();
  const bool has_own_users =
      (spec.strict || spec.own_namespaces) && enter_namespaces(gaps, spec.own_namespaces);
  set_limits(spec, has_own_users);
  if (per_thread || filters || spec.no_new_privileges) {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
      gaps.lacks("PR_SET_NO_NEW_PRIVS (Linux 3.5)", true);
    }
  }
  if (spec.strict || spec.no_capabilities) drop_capabilities();
  if (restricts) restrict_reach(spec, gaps);
  // Else a program that gets cores through a pipe would get it still. And then no other process of the
  // user looks into this one.
  if (spec.core_size == std::uint64_t{0}) ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  parent.restore();
  if (filters) filter(spec, gaps);
}

}  // namespace process
}  // namespace cadre
