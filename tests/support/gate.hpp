// SPDX-License-Identifier: MIT
// gate: where calls wait until the test lets them go, in whatever process they run.
//
//     gate here;
//     auto f = executor.submit(&pass, here.handle(), 42);
//     here.await_arrivals(1);  // the call runs, and waits
//     here.open();
#pragma once

#include <cstdint>

namespace cadre::test {

/// Names a gate in every process of this program: a value that any call can take.
struct gate_handle {
  int pid;
  int fd;
  std::uintptr_t address;  // of the gate in process `pid`
};

class gate {
 public:
  gate();
  ~gate();
  gate(const gate&) = delete;
  gate& operator=(const gate&) = delete;

  gate_handle handle() const noexcept;

  /// Blocks until so many calls, in all, have come to the gate.
  void await_arrivals(unsigned count) const;
  unsigned arrivals() const noexcept;

  /// Lets `count` calls pass, one each.
  void admit(unsigned count) const;
  /// Lets every call pass, now and later.
  void open() const;

  struct shared;

 private:
  int fd_;
  shared* shared_;
};

/// A call: arrives at the gate, waits until it may pass, returns `result`.
int pass(gate_handle at, int result);
/// A call: as pass(), then throws std::runtime_error{"passed"}.
int pass_and_throw(gate_handle at);
/// A call: arrives at the gate and goes on; returns `result`.
int arrive(gate_handle at, int result);
/// A call: arrives at the gate, goes on, and returns the number of its arrival, from 1.
unsigned count_arrival(gate_handle at);

}  // namespace cadre::test
