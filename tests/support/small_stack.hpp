// SPDX-License-Identifier: MIT
// Runs something on a thread with a stack of its own size.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <exception>
#include <stdexcept>

namespace cadre::test {

/// Runs `body` on a new thread with a stack of `size` bytes, and throws what it throws.
template <typename Body>
void on_stack_of(std::size_t size, Body body) {
  struct shared {
    Body& body;
    std::exception_ptr thrown;
  } all{body, nullptr};
  const auto run = [](void* argument) -> void* {
    auto& s = *static_cast<shared*>(argument);
    try {
      s.body();
    } catch (...) {
      s.thrown = std::current_exception();
    }
    return nullptr;
  };
  pthread_attr_t attributes;
  pthread_t thread;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstacksize(&attributes, size);
  const bool started = ::pthread_create(&thread, &attributes, run, &all) == 0;
  ::pthread_attr_destroy(&attributes);
  if (!started) throw std::runtime_error{"no thread with such a stack"};
  ::pthread_join(thread, nullptr);
  if (all.thrown) std::rethrow_exception(all.thrown);
}

}  // namespace cadre::test
