// SPDX-License-Identifier: MIT
// The executors that the conformance suites run for. A new one joins the lists below and inherits
// the tests: a traits class says how to make it and what it can do.
//
// A test over all_executors or pools makes portable calls only: functions, and values.
#pragma once

#include <cadre/inline_executor.hpp>
#include <cadre/make_executor.hpp>
#include <cadre/process_pool_executor.hpp>
#include <cadre/thread_pool_executor.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace cadre::test {

struct thread_pool {
  static constexpr const char* name = "thread_pool";
  static auto make(int workers) { return std::make_unique<thread_pool_executor>(workers); }
};

struct by_name {
  static constexpr const char* name = "by_name";
  static auto make(int workers) { return make_executor("threads:" + std::to_string(workers)); }
};

struct in_caller {
  static constexpr const char* name = "inline";
  static auto make(int) { return std::make_unique<inline_executor>(); }
};

struct process_pool {
  static constexpr const char* name = "process_pool";
  static auto make(int workers) { return std::make_unique<process_pool_executor>(workers); }
};

struct executed_processes {
  static constexpr const char* name = "executed_processes";
  static auto make(int workers) {
    process_pool_options options;
    options.max_workers = workers;
    options.start_method = start_method::exec;
    return std::make_unique<process_pool_executor>(std::move(options));
  }
};

using all_executors =
    testing::Types<thread_pool, by_name, in_caller, process_pool, executed_processes>;
// Calls run beside their submitter.
using pools = testing::Types<thread_pool, by_name, process_pool, executed_processes>;
using local_executors = testing::Types<thread_pool, in_caller>;  // calls may be any callable

struct executor_names {
  template <typename Traits>
  static std::string GetName(int) {
    return Traits::name;
  }
};

// --- calls ---

inline int multiply(int x, int y) { return x * y; }

inline int divide(int x, int y) {
  if (y == 0) throw std::domain_error{"division by zero"};
  return x / y;
}

}  // namespace cadre::test
