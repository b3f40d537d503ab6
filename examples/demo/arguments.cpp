// SPDX-License-Identifier: MIT
// Apart from the rest: CLI11 takes as long to compile as all of it.
#include "arguments.hpp"

#include <CLI/CLI.hpp>

namespace demo {

std::optional<int> read_arguments(options& to, int argc, char** argv) {
  CLI::App app{
      "Reads a tree of files in a loop, on threads and in worker processes, and compares. Then "
      "decodes images, of which some crash the decoder."};
  app.add_option("DIR", to.root, "the tree to read")
      ->check(CLI::ExistingDirectory)
      ->capture_default_str();
  app.add_option("--workers", to.workers, "threads, and worker processes")->capture_default_str();
  try {
    app.parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::ParseError& e) {
    return app.exit(e);
  }
}

}  // namespace demo
