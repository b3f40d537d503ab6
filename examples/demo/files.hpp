// SPDX-License-Identifier: MIT
// What the demo computes: the files below a folder, and for each its SHA-256 and identifiers.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

namespace demo {

/// Thrown where work ends because a stop was requested.
struct stopped : std::exception {};

struct file_facts {
  std::string path;
  std::uint64_t bytes = 0;
  std::uint64_t identifiers = 0;  ///< matches of [A-Za-z_][A-Za-z0-9_]*
  std::array<unsigned char, 32> sha256{};

  auto operator<=>(const file_facts&) const = default;
};

/// A file or folder that could not be read, and why.
struct failure {
  std::string path;
  std::string reason;

  auto operator<=>(const failure&) const = default;
};

/// What one pass over all files found; sort() before comparing two of them.
struct findings {
  std::vector<file_facts> files;
  std::vector<failure> failures;

  void sort();
  std::uint64_t bytes() const;
  std::uint64_t identifiers() const;
  /// The SHA-256 of the lines that `sha256sum` prints for the files, in the order of their paths.
  std::string fingerprint() const;

  bool operator==(const findings&) const = default;
};

/// What lies below a folder.
struct tree {
  std::vector<std::filesystem::path> files;  ///< also links to files, and links that lead nowhere
  std::vector<failure> unreadable_folders;
  std::size_t skipped = 0;  ///< links to folders (so there are no loops), fifos, sockets, devices
};

/// Walks the folders below `root`. Throws stopped.
tree walk(const std::stop_token& stop, const std::filesystem::path& root);

/// Reads the file once and forgets it, which leaves it in the system's page cache. Throws as
/// analyse().
void warm(const std::stop_token& stop, const std::filesystem::path& path);

/// Reads the file in blocks, so its size does not matter. Throws std::filesystem::filesystem_error
/// if that fails, and stopped.
file_facts analyse(std::stop_token stop, const std::filesystem::path& path);

}  // namespace demo
