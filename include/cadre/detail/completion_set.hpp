// SPDX-License-Identifier: MIT
// What as_completed, when_all and when_any have below their types.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/state.hpp>

#include <cstddef>
#include <memory>
#include <vector>

namespace cadre::detail {

/// True for each state that occurs for the first time. O(n log n).
CADRE_API std::vector<bool> first_occurrences(const std::vector<state_base*>& states);

/// States, given back one by one as they become done. One thread uses it; any thread completes.
class CADRE_API completion_set {
 public:
  completion_set();
  completion_set(completion_set&& other) noexcept;
  completion_set& operator=(completion_set&& other) noexcept;
  /// Forgets the rest; waits for notifications that have begun.
  ~completion_set();

  /// Takes a reference of its own. next() gives `place` back.
  void add(state_base& state, std::size_t place = 0);

  /// Blocks for the next; null when none is left. The caller takes over the reference. Throws
  /// timeout_error.
  state_base* next(time_point deadline, std::size_t* place = nullptr);

  std::size_t remaining() const noexcept;
  [[noreturn]] void throw_timeout() const;

  // For who does not block:

  /// The next one, as next(), if there is one by now; else null.
  state_base* try_next() noexcept;
  /// Has `waiter` notified once when there is a next one. False, and nothing happened, if there is.
  bool begin_wait(listener& waiter) noexcept;
  /// Takes `waiter` back. False if it was notified, or is about to be. Any thread.
  bool end_wait() noexcept;
  /// True if one of them is done already: whoever finished it is about to say so.
  bool notification_is_coming() const noexcept;

 private:
  class impl;
  impl* impl_;
};

/// Counts down as inputs become done. Part of a state, which it keeps alive until the last input
/// was notified, or enough of them were.
class CADRE_API gathering {
 public:
  gathering(const gathering&) = delete;
  gathering& operator=(const gathering&) = delete;

 protected:
  gathering(state_base& self, std::vector<state_base*> inputs, std::size_t needed);
  virtual ~gathering();

  /// Begins to listen; may complete at once.
  void start();
  void visit_inputs(void (*visit)(state_base&, void*), void* context);

  /// `needed` inputs are done, of which number `first` was the first.
  virtual void complete(std::size_t first) noexcept = 0;

 private:
  struct node;

  void forget_others() noexcept;

  state_base& self_;
  std::vector<state_base*> inputs_;
  std::size_t needed_;
  std::unique_ptr<node[]> nodes_;
  sync::atomic<std::size_t> done_{0};
  sync::atomic<bool> ready_to_forget_{false};
};

}  // namespace cadre::detail
