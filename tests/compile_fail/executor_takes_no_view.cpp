// SPDX-License-Identifier: MIT
// expect: cadre: an argument is a pointer, a reference or a view
#include <cadre/executor.hpp>

#include <string>
#include <string_view>

void use(cadre::executor& any, std::string_view text) {
#ifdef CADRE_MUST_FAIL
  any.submit([](std::string_view s) { return s.size(); }, text);
#else
  static_cast<void>(any.submit([](std::string_view s) { return s.size(); }, std::string{text}));
#endif
}
