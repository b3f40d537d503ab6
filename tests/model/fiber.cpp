// SPDX-License-Identifier: MIT
// The first switch to a fiber goes through ucontext, which can change stacks; later ones through
// setjmp, which makes no system call. The thread_local variables are those of the executable: its
// block is copied out and in. Those of shared libraries, libstdc++'s apart, are not switched.
#include "fiber.hpp"

#include <cxxabi.h>
#include <link.h>

#include <algorithm>
#include <cstring>

namespace cadre_model {
namespace {

/// The calling thread's block of the executable's thread_local variables, and its initial content.
struct thread_local_block {
  std::byte* begin = nullptr;
  std::size_t size = 0;
  const std::byte* image = nullptr;
  std::size_t image_size = 0;
};

thread_local_block find_thread_locals() {
  thread_local_block block;
  // The first object of the list is the executable.
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* result) {
        auto& found = *static_cast<thread_local_block*>(result);
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const ElfW(Phdr)& header = info->dlpi_phdr[i];
          if (header.p_type != PT_TLS || info->dlpi_tls_data == nullptr) continue;
          found.begin = static_cast<std::byte*>(info->dlpi_tls_data);
          found.size = header.p_memsz;
          found.image = reinterpret_cast<const std::byte*>(info->dlpi_addr + header.p_vaddr);
          found.image_size = header.p_filesz;
        }
        return 1;
      },
      &block);
  return block;
}

const thread_local_block& thread_locals() {
  static const thread_local_block block = find_thread_locals();
  return block;
}

fiber* starting = nullptr;

}  // namespace

fiber::fiber() : thread_locals_(thread_locals().size) {}

fiber::fiber(void (*entry)(void*), void* argument)
    : stack_{new std::byte[stack_size]}, entry_{entry}, argument_{argument} {
  restart();
}

void fiber::restart() {
  reset_thread_locals();
  started_ = false;
  std::memset(&exceptions_, 0, sizeof exceptions_);
  ::getcontext(&first_);
  first_.uc_stack.ss_sp = stack_.get();
  first_.uc_stack.ss_size = stack_size;
  ::makecontext(&first_, &fiber::start, 0);
}

void fiber::start() {
  fiber& self = *starting;
  self.entry_(self.argument_);
}

void fiber::reset_thread_locals() {
  const thread_local_block& block = thread_locals();
  thread_locals_.assign(block.size, std::byte{0});
  std::copy_n(block.image, block.image_size, thread_locals_.begin());
}

[[gnu::noinline]] void fiber::switch_to(fiber& other) noexcept {
  top_ = __builtin_frame_address(0);
  std::memcpy(thread_locals_.data(), thread_locals().begin, thread_locals_.size());
  std::memcpy(&exceptions_, abi::__cxa_get_globals(), sizeof exceptions_);
  if (_setjmp(next_) == 0) other.enter();
}

void fiber::enter() noexcept {
  std::memcpy(abi::__cxa_get_globals(), &exceptions_, sizeof exceptions_);
  std::memcpy(thread_locals().begin, thread_locals_.data(), thread_locals_.size());
  if (started_) _longjmp(next_, 1);
  started_ = true;
  starting = this;
  ::setcontext(&first_);
}

}  // namespace cadre_model
