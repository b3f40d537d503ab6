// SPDX-License-Identifier: MIT
// expect: cadre: an argument is a pointer, a reference or a view
// names: basic_string<char
#include <cadre/executor.hpp>

#include <cstddef>
#include <string>

std::size_t length(const std::string& text);

void use(cadre::executor& any, const std::string& text) {
#ifdef CADRE_MUST_FAIL
  any.submit([](const std::string* s) { return s->size(); }, &text);
#else
  static_cast<void>(any.submit(&length, text));
#endif
}
