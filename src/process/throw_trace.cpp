// SPDX-License-Identifier: MIT
#include "process/throw_trace.hpp"

#include <unwind.h>

#include <cstdint>
#include <new>
#include <string_view>
#include <typeinfo>
#include <utility>

#include "base/symbols.hpp"
#include "process/throw_probe.hpp"
#include "process/worker_process.hpp"

namespace cadre::detail {

struct throw_trace_access {
  static std::uintptr_t boundary(const throw_trace& trace) noexcept { return trace.boundary_; }

  static void capture(throw_trace& trace) noexcept {
    trace.size_ = 0;
    _Unwind_Backtrace(&add, &trace);
  }

  static _Unwind_Reason_Code add(_Unwind_Context* context, void* argument) {
    auto& trace = *static_cast<throw_trace*>(argument);
    int before_instruction = 0;
    const auto address = _Unwind_GetIPInfo(context, &before_instruction);
    if (address == 0 || _Unwind_GetCFA(context) > trace.boundary_ ||
        trace.size_ == throw_trace::capacity) {
      return _URC_END_OF_STACK;
    }
    // A return address may be the first one of the next function: that of the call is one less.
    trace.addresses_[trace.size_++] =
        reinterpret_cast<const void*>(address - (before_instruction != 0 ? 0 : 1));
    return _URC_NO_REASON;
  }
};

namespace {

thread_local throw_trace* current_trace = nullptr;

#ifndef _LIBCPP_VERSION  // libc++ has no such function: exceptions come without the stack of their throw
class probe_type final : public std::type_info {
 public:
  probe_type() : type_info{"cadre::detail::throw_probe"} {}

  /// Asked in the search for a handler: the stack is that of the throw.
  bool __do_catch(const std::type_info*, void**, unsigned) const override {
    if (current_trace != nullptr) throw_trace_access::capture(*current_trace);
    return false;
  }
};
#endif

struct traced_call {
  void (*body)(void*);
  void* argument;
  std::exception_ptr thrown;
};

}  // namespace

#ifndef _LIBCPP_VERSION
// The type information of throw_probe. Never destroyed: others may still throw at exit.
alignas(probe_type) std::byte probe_memory[sizeof(probe_type)] asm(
    "_ZTIN5cadre6detail11throw_probeE");
[[maybe_unused]] const auto* const probe = new (probe_memory) probe_type;
#endif

std::exception_ptr run_traced(void (*body)(void*), void* argument, throw_trace& trace) noexcept {
  traced_call call{body, argument, nullptr};
  trace.boundary_ = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  auto* const outer = std::exchange(current_trace, &trace);
  run_probed(
      [](void* c) { static_cast<traced_call*>(c)->body(static_cast<traced_call*>(c)->argument); },
      [](void* c) {
        static_cast<traced_call*>(c)->thrown = std::current_exception();
        // Nobody can stop it: the C library would abort.
        if (!static_cast<traced_call*>(c)->thrown)
          process::end_process(process::exits_thread_ended);
      },
      &call);
  current_trace = outer;
  return std::move(call.thrown);
}

std::uintptr_t traced_stack() noexcept {
  return current_trace != nullptr ? throw_trace_access::boundary(*current_trace) : UINTPTR_MAX;
}

std::vector<stack_frame> throw_trace::frames() const {
  std::vector<stack_frame> result;
  for (std::size_t i = 0; i < size_; ++i) result.push_back(locate(addresses_[i]));
  return result;
}

}  // namespace cadre::detail
