// SPDX-License-Identifier: MIT
// An exception of your own keeps its type between processes.
#include <cadre/register_exception.hpp>

#include <stdexcept>
#include <string>

// [exception]
struct parse_error : std::runtime_error {
  parse_error(int at, const std::string& text) : std::runtime_error{text}, line{at} {}
  int line;
};

[[maybe_unused]] const bool registered = cadre::register_exception<parse_error>(
    [](cadre::encoder& out, const parse_error& e) {
      cadre::encode(out, e.line);
      cadre::encode(out, std::string{e.what()});
    },
    [](cadre::decoder& in) {
      const int line = cadre::decode<int>(in);
      return parse_error{line, cadre::decode<std::string>(in)};
    });
// [/exception]

int main() { return registered ? 0 : 1; }
