// SPDX-License-Identifier: MIT
// borrowed<T>: an object that its thread keeps from one use to the next for the memory it holds.
#pragma once

#include <memory>
#include <utility>

namespace cadre::process {

/// Taken while in use: to encode, or to tell a future, may lead to another use on the same thread,
/// which gets an object of its own. T has clear().
template <typename T>
class borrowed {
 public:
  borrowed() : own_{std::exchange(spare(), nullptr)} {
    if (own_ == nullptr) own_ = std::make_unique<T>();
    static thread_local const cleanup at_thread_end;
    own_->clear();
  }
  ~borrowed() {
    if (spare() == nullptr) spare() = own_.release();
  }
  borrowed(const borrowed&) = delete;
  borrowed& operator=(const borrowed&) = delete;

  T& operator*() const noexcept { return *own_; }
  T* operator->() const noexcept { return own_.get(); }

 private:
  struct cleanup {
    ~cleanup() { delete std::exchange(spare(), nullptr); }
  };

  /// Trivial: it may be used while the thread ends, after its objects were destroyed.
  static T*& spare() noexcept {
    constinit static thread_local T* of_this_thread = nullptr;
    return of_this_thread;
  }

  std::unique_ptr<T> own_;
};

}  // namespace cadre::process
