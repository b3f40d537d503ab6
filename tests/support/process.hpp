// SPDX-License-Identifier: MIT
// Runs a program, or a function of this program in a process of its own, and tells how it ended.
//
//     const child_program leaves_a_pool{"leaves_a_pool", [] { static pool p; return 0; }};
//
//     TEST(shutdown, at_static_destruction) {
//       const ended child = leaves_a_pool.run();
//       EXPECT_EQ(child.exit_code, 0) << child;
//     }
#pragma once

#include <chrono>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "support/timeouts.hpp"

namespace cadre::test {

/// How a process ended.
struct ended {
  std::optional<int> exit_code;  // none: a signal ended it
  int signal = 0;
  bool timed_out = false;  // it was killed, with all that it started
  std::string out;         // what it wrote on stdout
  std::string err;         // and on stderr
};
std::ostream& operator<<(std::ostream& stream, const ended& process);

/// Runs command[0], looked up in PATH, and waits for its end. After `limit` it is killed.
ended run_process(std::vector<std::string> command, std::chrono::milliseconds limit = long_time);

/// A function that run() calls, instead of the tests, in a fresh process of this program. It exits
/// as programs do: static objects are destroyed. Define it at namespace scope.
class child_program {
 public:
  child_program(std::string name, int (*body)());

  ended run(std::chrono::milliseconds limit = long_time) const;

 private:
  std::string name_;
};

/// For main(): runs the child program that the command line asks for and returns its exit code.
std::optional<int> run_as_child(int argc, char** argv);

}  // namespace cadre::test
