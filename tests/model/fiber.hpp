// SPDX-License-Identifier: MIT
// Threads that one system thread runs in turns: a stack, and thread_local variables of its own.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace cadre_model {

class fiber {
 public:
  /// The context of the caller, to switch back to.
  fiber();
  /// Runs `entry(argument)`, which never returns, from the first switch_to() on.
  fiber(void (*entry)(void*), void* argument);
  fiber(const fiber&) = delete;
  fiber& operator=(const fiber&) = delete;

  /// Forgets where it was suspended: the next switch_to() runs `entry` from its beginning.
  void restart();

  /// Suspends this fiber, which the caller runs on, and goes on with `other`. Some 50 ns.
  void switch_to(fiber& other) noexcept;

  /// Gives the executable's thread_local variables their initial values.
  void reset_thread_locals();

  std::span<std::byte> stack() const noexcept { return {stack_.get(), stack_size}; }
  bool owns(const void* address) const noexcept {
    return address >= stack_.get() && address < stack_.get() + stack_size;
  }
  /// False for the part of the stack below the suspended function calls.
  bool in_use(const void* address) const noexcept { return address >= top_; }

 private:
  static constexpr std::size_t stack_size = 256 * 1024;
  void enter() noexcept;
  static void start();

  std::unique_ptr<std::byte[]> stack_;
  const void* top_ = nullptr;
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
  bool started_ = true;
  std::vector<std::byte> thread_locals_;
  // What __cxa_get_globals() points to: the exceptions being handled, and a count.
  std::byte exceptions_[2 * sizeof(void*)] = {};
  ucontext_t first_{};
  jmp_buf next_{};
};

}  // namespace cadre_model
