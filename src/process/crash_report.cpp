// SPDX-License-Identifier: MIT
#include "process/crash_report.hpp"

#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <cadre/detail/atomic.hpp>

#include <algorithm>
#include <cstring>

#include "base/symbols.hpp"

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
  std::uint32_t state;  // `complete`, once all is written
  std::int32_t signal;
  std::int32_t code;
  std::uint32_t frame_count;
  std::uint64_t address;
  std::uint32_t module_count;
  std::array<frame, max_frames> frames;
  std::array<std::array<char, max_path>, max_modules> modules;
};
static_assert(sizeof(record) <= 4096);

constexpr std::array crash_signals{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

// Of the worker: what the signal handler finds.
constinit sync::atomic<record*> crash_record{nullptr};
constinit std::array<struct sigaction, crash_signals.size()> previous_actions{};

std::uint64_t module_index(record& to, const char* path) {
  for (std::uint32_t i = 0; i < to.module_count; ++i) {
    if (std::strncmp(to.modules[i].data(), path, max_path - 1) == 0) return i;
  }
  if (to.module_count == max_modules) return no_module;
  std::strncpy(to.modules[to.module_count].data(), path, max_path - 1);
  return to.module_count++;
}

std::uintptr_t interrupted_at([[maybe_unused]] const void* context) {
#if defined(__x86_64__)
  return static_cast<std::uintptr_t>(
      static_cast<const ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
#elif defined(__aarch64__)
  return static_cast<const ucontext_t*>(context)->uc_mcontext.pc;
#else
  return 0;
#endif
}

/// Async-signal-safe: backtrace() after its first call, and _dl_find_object.
void write_record(record& to, int signal, const siginfo_t& info, const void* context) {
  to.signal = signal;
  to.code = info.si_code;
  to.address = reinterpret_cast<std::uint64_t>(info.si_addr);
  std::array<void*, max_frames> pcs{};
  const auto count = static_cast<std::size_t>(::backtrace(pcs.data(), max_frames));
  // The first frames are the handler's. A jump to nowhere is in no frame: then all are shown.
  const auto interrupted = reinterpret_cast<void*>(interrupted_at(context));
  void** const end = pcs.data() + count;
  void** first = std::find(pcs.data(), end, interrupted);
  if (first == end) first = pcs.data();
  for (void** pc = first; pc != end; ++pc) {
    // A return address may be the first byte of the next function.
    const auto address = reinterpret_cast<std::uintptr_t>(*pc) - (pc == first ? 0 : 1);
    dl_find_object found{};
    frame& next = to.frames[to.frame_count++];
    next = {address, no_module};
    if (::_dl_find_object(reinterpret_cast<void*>(address), &found) != 0) continue;
    next = {address - found.dlfo_link_map->l_addr, module_index(to, found.dlfo_link_map->l_name)};
  }
  to.state = complete;
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
  // A fault happens again on return. A signal that was sent does not.
  if (info->si_code <= 0) ::syscall(SYS_tgkill, ::getpid(), ::gettid(), signal);
}

}  // namespace

crash_page::crash_page() : page_{ipc::region::create(sizeof(record), ipc::region::access::both)} {}

std::optional<crash_info> crash_page::read() const {
  record copy;
  std::memcpy(&copy, page_.memory.bytes().data(), sizeof copy);
  if (copy.state != complete) return std::nullopt;
  crash_info info{copy.signal, copy.code, copy.address, {}};
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

std::string crash_info::text() const {
  std::string all;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    all += '#' + std::to_string(i) + ' ' + describe_frame(frames[i]) + '\n';
  }
  return all;
}

void prepare_crash_records() noexcept {
  std::array<void*, 1> pcs{};
  ::backtrace(pcs.data(), 1);
}

void record_crashes(const ipc::descriptor& page) {
  // Never deleted: a process that crashes while it ends still writes there. And made anew: this one may
  // be forked from a worker.
  static const ipc::region* memory = nullptr;
  memory = new ipc::region{ipc::region::open(page, sizeof(record), ipc::region::access::both)};
  prepare_crash_records();
  // relaxed: no handler of ours is installed yet.
  crash_record.store(reinterpret_cast<record*>(memory->bytes().data()), std::memory_order_relaxed);

  // Large enough for backtrace(), which needs some 10 KiB.
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
