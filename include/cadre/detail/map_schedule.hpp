// SPDX-License-Identifier: MIT
// How the elements of a map become chunks: taken by workers, awaited by one reader.
//
//   chunk    open -> taken -> ended (all elements, or some and an exception)
//
// Workers take chunks from the front; the reader gets them in that order, or as they end. Who
// takes a chunk decides its size from what the elements before it have cost.
#pragma once

#include <cadre/config.hpp>
#include <cadre/detail/state.hpp>
#include <cadre/submit_options.hpp>

#include <cstddef>
#include <exception>
#include <memory>

namespace cadre {

class executor;

namespace detail {

class CADRE_API map_schedule {
 public:
  struct settings {
    const char* who;  // "map": what the user has called
    std::size_t elements;
    std::size_t chunk_size;  // 0: automatic
    unsigned workers;
    bool ordered;
    bool caller_runs;
    time_point deadline;
    submit_options call;  // of the runners
  };
  struct chunk {
    std::size_t number;
    std::size_t first;
    std::size_t last;
  };
  /// Runs the elements of a chunk; returns the number of the first that did not end well, and what
  /// it threw, or `last` and null.
  struct ending {
    std::size_t end;
    std::exception_ptr error;
  };

  explicit map_schedule(const settings& s);
  virtual ~map_schedule();
  map_schedule(const map_schedule&) = delete;
  map_schedule& operator=(const map_schedule&) = delete;

  /// Sends up to `workers` runners to the executor, one fewer if the reader runs elements, too.
  /// Each keeps `self` alive. From now on the stop_token of the settings ends it.
  static void start(const std::shared_ptr<map_schedule>& self, executor& where);

  /// Runs all, and returns when all is done. The caller runs elements, too, if the settings say so; where
  /// that takes no longer than a worker to wake up, alone. Throws as next(), and what start() throws.
  static void run_all(const std::shared_ptr<map_schedule>& self, executor& where);

  /// The reader: blocks for the next elements that are ready, [first, last). Empty at the end.
  /// Throws what an element threw, timeout_error, or why the executor dropped the work.
  chunk next();

  /// The reader goes: what nobody has taken stays undone.
  void abandon() noexcept;
  /// After abandon(): blocks until what was taken is done.
  void await_taken() noexcept;

 private:
  class runner;
  class impl;

  virtual ending run(const chunk& c) noexcept = 0;

  void prepare(executor& where);
  void call_in_or_run_alone(const std::shared_ptr<map_schedule>& self, executor& where);
  /// Sends the runners.
  static void call_in(const std::shared_ptr<map_schedule>& self, executor& where);

  /// Takes and runs one chunk, on the reader if `by` is null. False if none is left.
  bool run_one(state_base* by) noexcept;
  void drop(std::exception_ptr reason) noexcept;

  std::unique_ptr<impl> impl_;
};

}  // namespace detail
}  // namespace cadre
