// SPDX-License-Identifier: MIT
// The demo's dealings with the terminal: the progress of a pass, and Ctrl-C.
#pragma once

#include <chrono>
#include <cstddef>
#include <stop_token>
#include <string>
#include <thread>

namespace demo {

/// How far a pass over the files is: a line with rate and time left, redrawn meanwhile and erased at
/// the end. Draws nothing unless stdout is a terminal.
class progress {
 public:
  progress();

  void begin(std::string title, std::size_t total);
  /// One more file is done.
  void step();
  void end();

  // Of the present pass, or the last:
  const std::string& title() const { return title_; }
  std::size_t done() const { return done_; }
  std::size_t total() const { return total_; }

 private:
  using clock = std::chrono::steady_clock;

  void draw(clock::time_point now);

  const bool visible_;
  std::string title_;
  std::size_t total_ = 0;
  std::size_t done_ = 0;
  clock::time_point begin_;
  clock::time_point next_draw_;
};

/// Turns Ctrl-C into a stop request. Make it before any other thread: it blocks SIGINT in the
/// calling thread, and those made later inherit that. A second Ctrl-C kills the program.
class interrupt {
 public:
  interrupt();
  ~interrupt();
  interrupt(const interrupt&) = delete;
  interrupt& operator=(const interrupt&) = delete;

  std::stop_token token() const { return source_.get_token(); }

 private:
  std::stop_source source_;
  std::thread waiter_;
};

}  // namespace demo
