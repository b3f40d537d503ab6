// SPDX-License-Identifier: MIT
// A program of the matrix: starts workers in each way. Its main() must run once, in one process.
//   with CADRE_INIT    cadre::init() comes first
//   with EXPECT_ERROR  the start must be refused, in words that begin like this
//   with AS_LIBRARY    there is no main(): run() is called by another program
#include <cadre/init.hpp>

#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <future>
#include <string>

#include "process/worker_starter.hpp"

using namespace cadre::process;

namespace {

const std::string made_before_main(100, 'm');

int entry(std::span<const std::byte> argument, std::span<const int>) {
  return made_before_main.size() == 100 && argument.size() == 3 ? 42 : 1;
}

int exit_code(start_method method) {
  const auto starter = worker_starter::acquire();
  worker_spec spec;
  spec.method = method;
  std::promise<death_report> dead;
  starter->start({spec,
                  &entry,
                  std::as_bytes(std::span{"ab"}),
                  {},
                  [&](const start_report& how) {
                    if (how.failure) dead.set_exception(std::make_exception_ptr(*how.failure));
                  },
                  [&](const death_report& report) { dead.set_value(report); }});
  return dead.get_future().get().exit_code.value_or(2);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int run() {
  std::printf("main runs in %d\n", static_cast<int>(::getppid() > 0));
  try {
    for (const start_method method :
         {start_method::zygote, start_method::exec, start_method::fork}) {
      if (exit_code(method) != 42) return 1;
    }
  } catch (const std::exception& e) {
    std::puts(e.what());
    return 3;
  }
  return 0;
}

#ifndef AS_LIBRARY
int main([[maybe_unused]] int argc, [[maybe_unused]] char** argv) {
#ifdef CADRE_INIT
  cadre::init(argc, argv);
#endif
  return run();
}
#endif
