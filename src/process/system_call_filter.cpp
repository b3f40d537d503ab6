// SPDX-License-Identifier: MIT
// Source: seccomp(2).
#include "process/system_call_filter.hpp"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <vector>

#include "process/system_calls.hpp"

namespace cadre::process {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t own_architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t own_architecture = AUDIT_ARCH_AARCH64;
#else
constexpr std::uint32_t own_architecture = 0;
#endif

constexpr std::uint32_t pass = SECCOMP_RET_ALLOW;
constexpr std::uint32_t kill = SECCOMP_RET_TRAP;  // SIGSYS, which names the call: crash_report.hpp
constexpr std::uint32_t error(int number) {
  return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(number);
}

// Of a thread: any other flag of clone would make a process or a namespace.
constexpr std::uint32_t flags_of_threads =
    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
    CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_DETACHED;

// Of fcntl. F_SETOWN, F_SETSIG and O_ASYNC send signals to other processes.
constexpr std::initializer_list<std::uint32_t> of_descriptors{
    F_GETFD, F_SETFD, F_GETFL, F_DUPFD, F_DUPFD_CLOEXEC, F_ADD_SEALS, F_GET_SEALS};
// Of ioctl: is it a terminal, how wide, how much is there to be read. TIOCSTI would type on it.
constexpr std::initializer_list<std::uint32_t> of_terminals{TCGETS, TIOCGWINSZ, FIONREAD};
// Of prctl. PR_SET_PDEATHSIG would let the worker outlive its program.
constexpr std::initializer_list<std::uint32_t> of_itself{PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE,
                                                         PR_GET_NO_NEW_PRIVS, PR_GET_SECCOMP};

/// The filter as it grows. Each rule is a comparison, and a block that ends with an answer.
class program {
 public:
  program() {
    // The same call has another number in another architecture, as in the x32 variant of x86-64.
    constexpr std::uint32_t first_of_x32 = 0x40000000;
    load(offsetof(seccomp_data, arch));
    jump(BPF_JEQ, own_architecture, 1, 0);
    answer(SECCOMP_RET_KILL_PROCESS);
    load(offsetof(seccomp_data, nr));
    jump(BPF_JGE, first_of_x32, 0, 1);
    answer(SECCOMP_RET_KILL_PROCESS);
  }

  void rule(int number, std::uint32_t result) {
    begin(number);
    answer(result);
    end();
  }

  /// By argument `index`, of which the kernel looks at the lower half only.
  void one_of(int number, unsigned index, const std::vector<std::uint32_t>& values,
              std::uint32_t otherwise) {
    begin(number);
    load_argument(index);
    for (std::size_t left = values.size(); left != 0; --left) {
      jump(BPF_JEQ, values[values.size() - left], static_cast<std::uint8_t>(left), 0);
    }
    answer(otherwise);
    answer(pass);
    end();
  }

  void no_code(int number) {
    begin(number);
    load_argument(2);
    jump(BPF_JSET, PROT_EXEC, 0, 1);
    answer(error(EPERM));
    answer(pass);
    end();
  }

  /// Nor memory that no limit counts: stacks that grow by themselves, and what is shared without a file.
  void map_private_memory(int number) {
    begin(number);
    load_argument(2);
    jump(BPF_JSET, PROT_EXEC, 4, 0);
    load_argument(3);
    jump(BPF_JSET, MAP_GROWSDOWN, 2, 0);
    jump(BPF_JSET, MAP_ANONYMOUS, 0, 2);
    jump(BPF_JSET, MAP_SHARED, 0, 1);
    answer(error(EPERM));
    answer(pass);
    end();
  }

  void threads_only(int number, std::uint32_t otherwise) {
    begin(number);
    load_argument(0);
    jump(BPF_JSET, CLONE_THREAD, 0, 1);
    jump(BPF_JSET, ~flags_of_threads, 0, 1);
    answer(otherwise);
    answer(pass);
    end();
  }

  /// prlimit64(process, limit, new, old).
  void limits(int number, std::uint32_t self) {
    begin(number);
    load_argument(0);
    jump(BPF_JEQ, 0, 1, 0);
    jump(BPF_JEQ, self, 0, 6);
    load_argument(1);
    jump(BPF_JEQ, RLIMIT_DATA, 5, 0);
    load_argument(2);
    jump(BPF_JEQ, 0, 0, 2);
    load(upper_half_of(2));
    jump(BPF_JEQ, 0, 1, 0);
    answer(error(EPERM));
    answer(pass);
    end();
  }

  bool install(std::uint32_t otherwise) {
    answer(otherwise);
    const sock_fprog all{static_cast<unsigned short>(steps_.size()), steps_.data()};
    if (steps_.size() > BPF_MAXINSNS) {
      errno = E2BIG;
      return false;
    }
    return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &all) == 0;
  }

 private:
  static constexpr std::uint32_t lower_half_of(unsigned index) {
    return static_cast<std::uint32_t>(offsetof(seccomp_data, args)) + 8 * index;
  }
  static constexpr std::uint32_t upper_half_of(unsigned index) { return lower_half_of(index) + 4; }

  void load(std::uint32_t offset) { steps_.push_back({BPF_LD | BPF_W | BPF_ABS, 0, 0, offset}); }
  void load_argument(unsigned index) { load(lower_half_of(index)); }
  void answer(std::uint32_t what) { steps_.push_back({BPF_RET | BPF_K, 0, 0, what}); }
  void jump(std::uint16_t how, std::uint32_t value, std::uint8_t if_so, std::uint8_t if_not) {
    const auto code = static_cast<std::uint16_t>(BPF_JMP | how | BPF_K);
    steps_.push_back({code, if_so, if_not, value});
  }

  void begin(int number) {
    block_ = steps_.size();
    jump(BPF_JEQ, static_cast<std::uint32_t>(number), 0, 0);
  }
  void end() { steps_[block_].jf = static_cast<std::uint8_t>(steps_.size() - block_ - 1); }

  std::vector<sock_filter> steps_;
  std::size_t block_ = 0;
};

const std::vector<std::uint32_t>& commands_of(int number) {
  static const std::vector<std::uint32_t> descriptors{of_descriptors};
  static const std::vector<std::uint32_t> terminals{of_terminals};
  static const std::vector<std::uint32_t> itself{of_itself};
  if (number == SYS_fcntl) return descriptors;
  return number == SYS_ioctl ? terminals : itself;
}

void add_strict(program& to, const system_call& call, const sandbox_spec& sandbox) {
  const auto self = static_cast<std::uint32_t>(::getpid());
  switch (call.strict) {
    case verdict::killed:  // as what is in no list
      break;
    case verdict::allowed:
      return to.rule(call.number, pass);
    case verdict::not_permitted:
      return to.rule(call.number, error(EPERM));
    case verdict::not_there:
      return to.rule(call.number, error(ENOSYS));
    case verdict::reads_files:
      return to.rule(call.number, sandbox.reads_files() ? pass : error(EACCES));
    case verdict::writes_files:
      return to.rule(call.number, sandbox.writes_files() ? pass : error(EACCES));
    case verdict::to_itself:
      return to.one_of(call.number, 0, {self}, error(EPERM));
    case verdict::starts_thread:
      return to.threads_only(call.number, kill);
    case verdict::maps_memory:
      return call.number == SYS_mmap ? to.map_private_memory(call.number) : to.no_code(call.number);
    case verdict::by_command: {
      const unsigned index = call.number == SYS_prctl ? 0 : 1;
      return to.one_of(call.number, index, commands_of(call.number), error(EPERM));
    }
    case verdict::reads_limits:
      return to.limits(call.number, self);
  }
}

void add_no_child_processes(program& to) {
#ifdef SYS_fork
  to.rule(SYS_fork, error(EPERM));
  to.rule(SYS_vfork, error(EPERM));
#endif
  to.rule(SYS_clone3, error(ENOSYS));
  to.threads_only(SYS_clone, error(EPERM));
  to.rule(SYS_execve, error(EPERM));
  to.rule(SYS_execveat, error(EPERM));
}

}  // namespace

bool filters_system_calls(const sandbox_spec& sandbox) noexcept {
  return sandbox.strict || sandbox.no_network || sandbox.no_child_processes ||
         !sandbox.denied_system_calls.empty();
}

bool filter_system_calls(const sandbox_spec& sandbox) {
  if (own_architecture == 0) {
    throw std::runtime_error{
        "the system calls of this processor are not known here, only those of x86-64 and aarch64: "
        "leave out worker.sandbox = strict, no_network, no_child_processes and "
        "denied_system_calls"};
  }
  // The first rule for a call counts.
  program filter;
  for (const int number : sandbox.denied_system_calls) filter.rule(number, error(EPERM));
  for (const int number : sandbox.allowed_system_calls) filter.rule(number, pass);
  if (sandbox.no_network && !sandbox.strict) {
    filter.rule(SYS_socket, error(EPERM));
    filter.rule(SYS_io_uring_setup, error(EPERM));  // makes sockets, too
  }
  if (sandbox.no_child_processes && !sandbox.strict) add_no_child_processes(filter);
  // Else a ring would make the calls that are denied.
  if (!sandbox.denied_system_calls.empty()) filter.rule(SYS_io_uring_setup, error(EPERM));
  if (sandbox.strict) {
    for (const system_call& call : known_system_calls()) add_strict(filter, call, sandbox);
  }
  return filter.install(sandbox.strict ? kill : pass);
}

}  // namespace cadre::process
