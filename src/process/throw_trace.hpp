// SPDX-License-Identifier: MIT
// Where an exception was thrown that nobody caught within a call.
//
//     throw_trace trace;
//     std::exception_ptr e = run_traced([&] { run(call); }, trace);
//     if (e) encode_exception(out, e, call.name(), trace.frames());
//
// The unwinder searches for a handler before it unwinds anything. run_traced() has a handler of a
// type that is never thrown; the type information of that type is ours, and when it is asked
// whether it matches, the stack is still whole. So a trace costs nothing for exceptions that are
// caught within the call, and about 2 us for others.
//
// Limits     An exception that is caught and thrown again has the trace of the last throw. A
//            noexcept function in between ends the program before it is asked.
// Source     The Itanium C++ ABI: exception handling, 1.6 and 2.5; libstdc++'s std::type_info.
#pragma once

#include <cadre/errors.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <type_traits>
#include <vector>

namespace cadre::detail {

class throw_trace {
 public:
  /// From where it was thrown outwards, to what run_traced() called.
  std::vector<stack_frame> frames() const;

 private:
  friend struct throw_trace_access;
  friend std::exception_ptr run_traced(void (*body)(void*), void* argument,
                                       throw_trace& trace) noexcept;

  // More: deeper stacks are told whole. Fewer: less stack and less to send.
  static constexpr std::size_t capacity = 64;
  std::array<const void*, capacity> addresses_;
  std::size_t size_ = 0;
  std::uintptr_t boundary_ = 0;  // the stack of run_traced() begins here
};

/// Runs body(argument) and returns what it threw, or null.
std::exception_ptr run_traced(void (*body)(void*), void* argument, throw_trace& trace) noexcept;

/// Where the stack of the innermost run_traced() of this thread begins: what is beyond is not the call's.
/// UINTPTR_MAX if there is none. Async-signal-safe.
std::uintptr_t traced_stack() noexcept;

template <typename Body>
std::exception_ptr run_traced(Body&& body, throw_trace& trace) noexcept {
  return run_traced([](void* b) { (*static_cast<std::remove_reference_t<Body>*>(b))(); },
                    const_cast<void*>(static_cast<const void*>(std::addressof(body))), trace);
}

}  // namespace cadre::detail
