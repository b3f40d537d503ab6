// SPDX-License-Identifier: MIT
#include "process/crash_report.hpp"

#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unwind.h>
#include <cadre/detail/atomic.hpp>

#include <algorithm>
#include <cstring>

#include "base/stack.hpp"
#include "process/throw_trace.hpp"

namespace cadre::process {
namespace {

// More frames and modules would need a second page; these are the innermost ones.
constexpr std::size_t max_frames = 64;
constexpr std::size_t max_modules = 8;
constexpr std::size_t max_path = 320;
constexpr std::uint64_t no_module = UINT64_MAX;
constexpr std::uint32_t complete = 0x63726173;

struct frame {
  std::uint64_t offset;
  std::uint64_t module;  // an index
};

/// The shared page. Plain memory: the parent reads it when the worker is dead.
struct record {
  std::uint32_t
      state;  // `complete`, once what the kernel said is written; the frames come after it
  std::int32_t signal;
  std::int32_t code;
  std::int32_t system_call;  // of SIGSYS
  std::uint32_t frame_count;
  std::uint64_t address;
  std::uint32_t module_count;
  std::array<frame, max_frames> frames;
  std::array<std::array<char, max_path>, max_modules> modules;
};
static_assert(sizeof(record) <= 4096);

constexpr std::array crash_signals{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS};

constexpr int by_filter = 1;  // SYS_SECCOMP, the si_code of a SIGSYS by seccomp

// Of the worker: what the signal handler finds.
constinit sync::atomic<record*> crash_record{nullptr};
constinit std::array<struct sigaction, crash_signals.size()> previous_actions{};

/// `count` is the handler's own number of modules: that of the page may have been scribbled over.
std::uint64_t module_index(record& to, std::uint32_t& count, const char* path) {
  for (std::uint32_t i = 0; i < count; ++i) {
    if (std::strncmp(to.modules[i].data(), path, max_path - 1) == 0) return i;
  }
  if (count == max_modules) return no_module;
  std::strncpy(to.modules[count].data(), path, max_path - 1);
  to.modules[count].back() = '\0';
  return count++;
}

bool is_code(std::uintptr_t address) noexcept {
  dl_find_object found{};
  return ::_dl_find_object(reinterpret_cast<void*>(address), &found) == 0;
}

/// Where the crash was, in the frame of its handler. As long as this lives a jump to nowhere, by a null
/// pointer to a function for example, has returned there: no frame is known for the place itself, and
/// the unwinder would end at it.
class interrupted_code {
 public:
  explicit interrupted_code([[maybe_unused]] void* context) noexcept {
#if defined(__x86_64__)
    auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    pc_ = &registers[REG_RIP];
    sp_ = &registers[REG_RSP];
    at_ = static_cast<std::uintptr_t>(*pc_);
    if (is_code(at_)) return;
    *pc_ = *reinterpret_cast<const greg_t*>(*sp_);
    *sp_ += static_cast<greg_t>(sizeof(greg_t));
    has_returned_ = true;
#elif defined(__aarch64__)
    auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext;
    pc_ = &registers.pc;
    at_ = *pc_;
    if (is_code(at_)) return;
    *pc_ = registers.regs[30];
    has_returned_ = true;
#endif
  }
  interrupted_code(const interrupted_code&) = delete;
  interrupted_code& operator=(const interrupted_code&) = delete;
  ~interrupted_code() {
#if defined(__x86_64__)
    if (has_returned_) *sp_ -= static_cast<greg_t>(sizeof(greg_t));
#endif
    if (has_returned_) *pc_ = static_cast<word>(at_);
  }

  std::uintptr_t at() const noexcept { return at_; }
  bool is_nowhere() const noexcept { return has_returned_; }
  /// Of the first frame that the unwinder knows.
  std::uintptr_t first_pc() const noexcept {
    return has_returned_ ? static_cast<std::uintptr_t>(*pc_) : at_;
  }

 private:
#if defined(__x86_64__)
  using word = greg_t;
  word* sp_ = nullptr;
#else
  using word = std::uintptr_t;
#endif
  word* pc_ = nullptr;
  std::uintptr_t at_ = 0;
  bool has_returned_ = false;
};

/// What is on the stack of a crash, from the handler on.
struct stack_walk {
  const std::uintptr_t interrupted;
  // What is beyond a call is the same in all workers, and each table that the unwinder reads is a page
  // fault in a process that was forked.
  const std::uintptr_t boundary = detail::traced_stack();
  std::array<std::uintptr_t, max_frames> pcs{};
  std::size_t size = 0;
  // The frames before are the handler's, which may have a stack of its own.
  std::size_t first = max_frames;

  static _Unwind_Reason_Code add(_Unwind_Context* context, void* self) {
    auto& walk = *static_cast<stack_walk*>(self);
    const auto pc = static_cast<std::uintptr_t>(_Unwind_GetIP(context));
    const bool beyond = walk.first < walk.size && _Unwind_GetCFA(context) > walk.boundary;
    if (pc == 0 || beyond || walk.size == max_frames) return _URC_END_OF_STACK;
    if (pc == walk.interrupted) walk.first = std::min(walk.first, walk.size);
    walk.pcs[walk.size++] = pc;
    return _URC_NO_REASON;
  }
};

/// Async-signal-safe: the unwinder after its first use, and _dl_find_object. Reads no number of the
/// page: what corrupts a process may have written there.
void write_record(record& to, int signal, const siginfo_t& info, void* context) {
  to.signal = signal;
  to.code = info.si_code;
  to.address = reinterpret_cast<std::uint64_t>(info.si_addr);
  to.system_call = signal == SIGSYS && info.si_code == by_filter ? info.si_syscall : -1;
  to.frame_count = 0;
  to.module_count = 0;
  // Whoever damaged the stack ends the process in what follows, by the same signal.
  to.state = complete;
  const interrupted_code crash{context};
  stack_walk walk{crash.first_pc()};
  _Unwind_Backtrace(&stack_walk::add, &walk);
  const std::size_t first = walk.first < walk.size ? walk.first : 0;
  std::uint32_t frames = 0;
  std::uint32_t modules = 0;
  if (crash.is_nowhere()) to.frames[frames++] = {crash.at(), no_module};
  for (std::size_t i = first; i < walk.size && frames < max_frames; ++i) {
    // A return address may be the first byte of the next function.
    const std::uintptr_t address = walk.pcs[i] - (i == first ? 0 : 1);
    dl_find_object found{};
    frame& next = to.frames[frames++];
    next = {address, no_module};
    if (::_dl_find_object(reinterpret_cast<void*>(address), &found) != 0) continue;
    next = {address - found.dlfo_link_map->l_addr,
            module_index(to, modules, found.dlfo_link_map->l_name)};
  }
  to.frame_count = frames;
  to.module_count = modules;
}

void on_crash(int signal, siginfo_t* info, void* context) {
  // relaxed: of several threads that crash at once, one gets the page; it was mapped long ago.
  record* const to = crash_record.exchange(nullptr, std::memory_order_relaxed);
  if (to != nullptr) write_record(*to, signal, *info, context);
  const auto* which = std::find(crash_signals.begin(), crash_signals.end(), signal);
  ::sigaction(signal, &previous_actions[static_cast<std::size_t>(which - crash_signals.begin())],
              nullptr);
  // dies here: the survivor sees this page complete and the signal; test
  // fault.process_start_fault.worker_crashes_and_says_where
  // A fault happens again on return. A signal that was sent does not, nor a refused system call.
  if (info->si_code <= 0 || signal == SIGSYS) ::syscall(SYS_tgkill, ::getpid(), ::gettid(), signal);
}

}  // namespace

crash_page::crash_page() : page_{ipc::region::create(sizeof(record), ipc::region::access::both)} {}

std::optional<crash_info> crash_page::read() const {
  record copy;
  std::memcpy(&copy, page_.memory.bytes().data(), sizeof copy);
  if (copy.state != complete) return std::nullopt;
  crash_info info{copy.signal, copy.code, copy.address, copy.system_call, {}};
  const std::size_t modules = std::min<std::size_t>(copy.module_count, max_modules);
  const std::size_t frames = std::min<std::size_t>(copy.frame_count, max_frames);
  for (std::size_t i = 0; i < frames; ++i) {
    const frame& from = copy.frames[i];
    std::string module = "?";
    if (from.module < modules) {
      const auto& path = copy.modules[from.module];
      module.assign(path.begin(), std::find(path.begin(), path.end(), '\0'));
    }
    info.frames.push_back({std::move(module), from.offset});
  }
  return info;
}

void prepare_crash_records() noexcept {
  // Once per process, and for those that it forks: to a forked process each page of code is new, and
  // the unwinder reads eight.
  static bool is_loaded = false;
  if (!std::exchange(is_loaded, true)) {
    stack_walk walk{0};
    _Unwind_Backtrace(&stack_walk::add, &walk);
  }
  static_cast<void>(detail::end_of_stack(0));
}

void record_crashes(const ipc::descriptor& page) {
  // Never deleted: a process that crashes while it ends still writes there. And made anew: this one may
  // be forked from a worker.
  static const ipc::region* memory = nullptr;
  memory = new ipc::region{ipc::region::open(page, sizeof(record), ipc::region::access::both)};
  prepare_crash_records();
  // relaxed: no handler of ours is installed yet.
  crash_record.store(reinterpret_cast<record*>(memory->bytes().data()), std::memory_order_relaxed);

  // Large enough for the unwinder, which needs some 10 KiB.
  constexpr std::size_t stack_size = std::size_t{64} << 10;
  stack_t present{};
  ::sigaltstack(nullptr, &present);
  if ((present.ss_flags & SS_DISABLE) != 0) {
    void* stack =
        ::mmap(nullptr, stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack == MAP_FAILED) ipc::throw_errno("cadre: cannot map a stack for crashes (mmap)");
    const stack_t mine{.ss_sp = stack, .ss_flags = 0, .ss_size = stack_size};
    ::sigaltstack(&mine, nullptr);
  }
  struct sigaction action {};
  action.sa_sigaction = &on_crash;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (std::size_t i = 0; i < crash_signals.size(); ++i) {
    ::sigaction(crash_signals[i], &action, &previous_actions[i]);
  }
}

}  // namespace cadre::process
