// SPDX-License-Identifier: MIT
#include "process/program_file.hpp"

#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

namespace cadre::process {
namespace {

/// The number of the file of which the program headers of this program are a mapping.
std::optional<std::uint64_t> mapped_file() {
  const std::uint64_t wanted = ::getauxval(AT_PHDR);
  std::ifstream maps{"/proc/self/maps"};
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words{line};
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::uint64_t file = 0;
    char dash = 0;
    std::string rights;
    std::string offset;
    std::string device;
    words >> std::hex >> begin >> dash >> end >> rights >> offset >> device >> std::dec >> file;
    if (words && begin <= wanted && wanted < end) return file;
  }
  return std::nullopt;
}

}  // namespace

std::string program_file() {
  constexpr const char* self = "/proc/self/exe";
  struct stat kernels {};
  struct stat named {};
  std::array<char, 4096> path{};
  const ssize_t size = ::readlink(self, path.data(), path.size() - 1);
  const bool known = size > 0 && ::stat(self, &kernels) == 0 && ::stat(path.data(), &named) == 0;
  // Nearly always.
  if (!known || (kernels.st_ino == named.st_ino && kernels.st_dev == named.st_dev)) return self;
  // Valgrind answers what the program asks for, but the kernel executes valgrind. Elsewhere the name
  // may mean another file, as after chroot().
  const auto mapped = mapped_file();
  return mapped == named.st_ino ? std::string{path.data()} : std::string{self};
}

}  // namespace cadre::process
