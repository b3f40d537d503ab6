// SPDX-License-Identifier: MIT
// The process pools that the suites of tests/conformance run for, with any options.
#pragma once

#include <cadre/process_pool_executor.hpp>

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <exception>
#include <memory>
#include <string>
#include <utility>

namespace cadre::test {

template <start_method Method>
struct started_by {
  static constexpr const char* name = Method == start_method::zygote ? "zygote" : "exec";
  static auto make(process_pool_options options = {}) {
    options.start_method = Method;
    return std::make_unique<process_pool_executor>(std::move(options));
  }
};

using start_methods =
    testing::Types<started_by<start_method::zygote>, started_by<start_method::exec>>;

/// Of the exception of `f`; empty if there is none.
template <typename T>
std::string message_of(const future<T>& f) {
  try {
    static_cast<void>(f.get());
  } catch (const std::exception& e) {
    return e.what();
  }
  return {};
}

// --- calls ---

inline int process_id() { return ::getpid(); }

inline int die() {
  ::raise(SIGKILL);
  return 0;
}

}  // namespace cadre::test
