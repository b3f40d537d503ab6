// SPDX-License-Identifier: MIT
// completion_queue: futures that an event loop is told of, through a descriptor that it can poll.
//
//     cadre::completion_queue done;        // poll(2), libuv, GLib, Qt, io_uring: done.native_handle()
//     done.watch(pool.submit(fft, buffer), [&](auto f) { draw(f.get()); });
//     ...                                  // when the descriptor is readable, on the loop's thread:
//     done.drain();
//
// Threads    watch() from any thread. drain(), next_key() and the destructor from one thread at a
//            time: the loop's.
// Ordering   Futures are drained in the order in which they became done. What was sequenced before a
//            result was set happens before its callback.
// Waking     The descriptor is readable while there is something to drain. The first future that is
//            done after a drain() makes it so, with one system call; those behind it, and those that
//            become done during drain(), cost none.
// Errors     What a callback throws goes to the unhandled hook; the others run. std::system_error if
//            there is no descriptor left. In a child of fork() the queue is the parent's: every
//            member throws broken_executor, the destructor does nothing.
// Lifetime   The destructor forgets what was not drained, and destroys the callbacks uncalled; the
//            calls go on. Take the descriptor out of the loop first.
// Cost       One heap block per future.
// Source     asyncio's call_soon_threadsafe and the self-pipe behind it; io_uring's completion queue.
#pragma once

#include <cadre/config.hpp>
#include <cadre/future.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

namespace cadre {
namespace detail {

class completion_list;

/// One watched future, between watch() and drain().
class CADRE_API completion : public listener {
 public:
  completion(const completion&) = delete;
  completion& operator=(const completion&) = delete;
  virtual ~completion();

  /// On the loop's thread. False if there is only a key.
  virtual bool run(state_base& done) = 0;

  std::uint64_t key = 0;

 protected:
  completion() noexcept;

 private:
  friend class completion_list;
  static void notified(listener& self, state_base& done) noexcept;

  completion_list* list_ = nullptr;
  ref<state_base> state_;
  completion* next_ready_ = nullptr;
  completion* previous_ = nullptr;  // of all that are watched
  completion* next_ = nullptr;
};

template <typename T, typename Function>
class completion_callback final : public completion {
 public:
  template <typename F>
  explicit completion_callback(F&& function) : function_{std::forward<F>(function)} {}

  bool run(state_base& done) override {
    std::move(function_)(access::make(ref{static_cast<state<T>*>(&done)}));
    return true;
  }

 private:
  [[no_unique_address]] Function function_;
};

}  // namespace detail

class CADRE_API completion_queue {
 public:
  completion_queue();
  completion_queue(const completion_queue&) = delete;
  completion_queue& operator=(const completion_queue&) = delete;
  ~completion_queue();

  /// Readable while there is something to drain. Do not read from it: drain() does.
  int native_handle() const noexcept;

  /// drain() will call `function(future<T>)` once `f` is done. Does not block.
  template <typename T, std::invocable<future<T>> Function>
  void watch(const future<T>& f, Function&& function) {
    using node = detail::completion_callback<T, std::decay_t<Function>>;
    auto& state = detail::access::state_of(f);  // throws if `f` is empty
    add(state, new node{std::forward<Function>(function)});
  }

  /// next_key() will return `key` once `f` is done and drained. Does not block.
  template <typename T>
  void watch(const future<T>& f, std::uint64_t key) {
    add_key(detail::access::state_of(f), key);
  }

  /// Calls the callbacks of the futures that are done, here and now, and lets next_key() see the keys
  /// of the others; returns how many of both. What becomes done meanwhile is drained, too, up to
  /// `limit`; then the descriptor stays readable, so that the loop comes back. Called by a callback
  /// it does nothing. Does not block.
  std::size_t drain(std::size_t limit = default_limit);

  /// The next key of what was drained; none if there is no other.
  std::optional<std::uint64_t> next_key();

  /// How many futures are watched and were not drained.
  std::size_t size() const;

  /// More: fewer system calls for many short callbacks. Less: the loop sees its other events sooner.
  static constexpr std::size_t default_limit = 1024;

 private:
  void add(detail::state_base& state, detail::completion* node);
  void add_key(detail::state_base& state, std::uint64_t key);

  detail::completion_list* list_;
};

}  // namespace cadre
