// SPDX-License-Identifier: MIT
#pragma once

#include <cadre/detail/state.hpp>

#include <exception>

namespace cadre::detail {

/// A call that is only queued, never run.
struct queued_call : state_base {
  queued_call() : state_base{posted} {}
  ~queued_call() override = default;
  void fail(std::exception_ptr) noexcept override {}
};

}  // namespace cadre::detail
