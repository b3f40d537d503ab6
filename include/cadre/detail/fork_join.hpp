// SPDX-License-Identifier: MIT
// What all() does: several tasks, awaited by one.
//
//   begin()      hands all tasks but the first to the executor, the second one last: on a worker of a pool
//                that is the newest of its own deque. Where there is one thread, they are kept until the chain
//                leaves it. The first one runs next, in the chain of who awaits.
//   child_over() when a task of this chain ends: takes the next one back, if nobody came for it, and runs it in
//                this chain, too. So without idle workers it is as if each were awaited in
//                turn. Else the chain waits.
//   forked_chain what was taken elsewhere runs in a chain of its own.
//
// open_ counts who may still use this: each entry that was handed out, from then until the queue has let go
// of it; each forked_chain; and who awaits. Whoever is last lets that go on.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/atomic.hpp>
#include <cadre/detail/state.hpp>
#include <cadre/detail/task_chain.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <span>
#include <string_view>

namespace cadre::detail {

/// A task as the executor's queue has it. Who awaits the task owns it.
class CADRE_API fork_entry final : public state_base {
 public:
  /// Makes the task fail with that, instead of what it returned.
  using fail_function = void (*)(chain_link& task, std::exception_ptr reason) noexcept;

  fork_entry() noexcept : state_base{posted} {}
  ~fork_entry() override = default;
  void set(chain_link& task, fail_function fail_task) noexcept {
    task_ = &task;
    fail_task_ = fail_task;
  }

  bool run(run_context& context) noexcept override;
  void fail(std::exception_ptr reason) noexcept override;
  /// The call that it is a part of has begun, so nobody cancels it in the queue.
  bool is_rest() const noexcept override { return true; }
  std::string_view name() const noexcept override;

  /// The last reference is gone, so nobody uses it but its owner, who destroys it.
  static void operator delete(fork_entry* self, std::destroying_delete_t) noexcept;

 private:
  friend fork_join;
  friend forked_chain;

  fork_join* join_ = nullptr;
  chain_link* task_ = nullptr;
  fail_function fail_task_ = nullptr;
};

class CADRE_API fork_join {
 public:
  explicit fork_join(chain_link& parent) noexcept : parent_{parent} {}
  fork_join(const fork_join&) = delete;
  fork_join& operator=(const fork_join&) = delete;

  /// Begins the task `first` and those of the entries. The parent is suspended, and goes on when they are
  /// over. Throws std::bad_alloc, and then nothing happened.
  void begin(chain_link& first, std::span<fork_entry> others);

  /// The newest entry of this thread that was not handed out.
  static fork_entry* kept_here() noexcept;
  /// The chain that has kept the entries above `mark` is off this thread: they go to their executor.
  static void hand_out_kept(fork_entry* mark) noexcept;

 private:
  friend fork_entry;
  friend forked_chain;
  friend task_chain;

  void child_over() noexcept;
  void run(chain_link& task) noexcept;
  bool take_back(fork_entry& entry) noexcept;
  /// True for whoever is the last one to use this.
  bool leave(std::uint32_t parts) noexcept {
    // acq_rel: pairs with those of the others, so that the last one sees what all did.
    return open_.fetch_sub(parts, std::memory_order_acq_rel) == parts;
  }
  void arrive() noexcept {
    task_chain& chain = *parent_.chain;
    if (leave(1)) chain.end_join(*this);
  }
  /// Who awaits has nothing more to do here.
  bool leave_as_parent() noexcept { return leave(1 + taken_back_); }

  chain_link& parent_;
  std::span<fork_entry> others_;
  std::size_t next_ = 0;          // of them, to be run by this chain
  std::size_t handed_out_ = 0;    // from the end on
  std::uint32_t taken_back_ = 0;  // of these, and those that were not handed out
  fork_join* outer_ = nullptr;    // that was open in this chain before
  sync::atomic<std::uint32_t> open_{0};
};

}  // namespace cadre::detail
