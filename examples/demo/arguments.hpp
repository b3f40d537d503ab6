// SPDX-License-Identifier: MIT
// What the user asks for.
#pragma once

#include <cadre/thread_pool_executor.hpp>

#include <filesystem>
#include <optional>

namespace demo {

struct options {
  std::filesystem::path root = "/usr/include";
  int workers = static_cast<int>(cadre::usable_cpus());
};

/// An exit code, if the program has nothing to do any more: there was a mistake, or --help.
std::optional<int> read_arguments(options& to, int argc, char** argv);

}  // namespace demo
