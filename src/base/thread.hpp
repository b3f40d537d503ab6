// SPDX-License-Identifier: MIT
// A thread whose stack is as large as it is told, which std::thread's cannot be.
#pragma once

#include <pthread.h>
#include <cadre/detail/unique_function.hpp>

#include <cstddef>
#include <memory>
#include <system_error>
#include <utility>

namespace cadre::detail {

class thread {
 public:
  thread() noexcept = default;
  /// Runs `body`. `stack_size` in bytes; 0: the system's own. Throws std::system_error and std::bad_alloc.
  thread(std::size_t stack_size, unique_function<void()> body) {
    auto kept = std::make_unique<unique_function<void()>>(std::move(body));
    pthread_attr_t attributes;
    if (const int error = ::pthread_attr_init(&attributes); error != 0) fail(error);
    int error = stack_size == 0 ? 0 : ::pthread_attr_setstacksize(&attributes, stack_size);
    if (error == 0) error = ::pthread_create(&handle_, &attributes, &run, kept.get());
    ::pthread_attr_destroy(&attributes);
    if (error != 0) fail(error);
    static_cast<void>(kept.release());  // the thread's
    joinable_ = true;
  }
  thread(thread&& other) noexcept
      : handle_{other.handle_}, joinable_{std::exchange(other.joinable_, false)} {}
  /// What is assigned to must not be joinable.
  thread& operator=(thread&& other) noexcept {
    handle_ = other.handle_;
    joinable_ = std::exchange(other.joinable_, false);
    return *this;
  }

  /// Blocks until it has ended, if it was started. A thread in its last lines may meet itself: that is
  /// detached.
  void join() noexcept {
    if (!std::exchange(joinable_, false)) return;
    if (::pthread_equal(handle_, ::pthread_self()) != 0) {
      ::pthread_detach(handle_);
    } else {
      ::pthread_join(handle_, nullptr);
    }
  }

 private:
  static void* run(void* body) {
    const std::unique_ptr<unique_function<void()>> kept{
        static_cast<unique_function<void()>*>(body)};
    (*kept)();
    return nullptr;
  }
  [[noreturn]] static void fail(int error) {
    throw std::system_error{error, std::generic_category(), "pthread_create"};
  }

  pthread_t handle_{};
  bool joinable_ = false;
};

}  // namespace cadre::detail
