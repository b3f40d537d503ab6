// SPDX-License-Identifier: MIT
// What a task_group is below the types of its calls: which are open, what failed, who waits.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/state.hpp>
#include <cadre/future.hpp>

#include <exception>
#include <memory>
#include <stop_token>

namespace cadre::detail {

class CADRE_API task_scope {
 public:
  /// `parent`: stops this scope, too.
  explicit task_scope(std::stop_token parent);
  /// Requests stop, and blocks until all calls are done.
  ~task_scope();
  task_scope(const task_scope&) = delete;
  task_scope& operator=(const task_scope&) = delete;

  /// Memory for what adopt() needs: a call that runs must not get lost for want of it.
  struct child;
  struct child_deleter {
    void operator()(child* c) const noexcept;
  };
  using place = std::unique_ptr<child, child_deleter>;
  place reserve();

  template <typename T>
  void adopt(place where, const future<T>& call) {
    adopt(std::move(where), access::state_of(call), [](state_base& done) {
      done.mark_observed();
      return static_cast<state<T>&>(done).stored_error();
    });
  }

  /// Blocks until all calls are done, those added meanwhile included. At the deadline it requests
  /// stop. Throws exception_group, or else timeout_error if it came to that.
  void wait_until(time_point deadline);
  void request_stop() noexcept;
  std::stop_token get_token() const noexcept;

 private:
  class impl;
  using error_of = std::exception_ptr (*)(state_base& done);

  void adopt(place where, state_base& call, error_of get_error);

  std::unique_ptr<impl> impl_;
};

}  // namespace cadre::detail
