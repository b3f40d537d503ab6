// SPDX-License-Identifier: MIT
// expect: cadre: an argument is a pointer, a reference or a view
#include <cadre/bind.hpp>
#include <cadre/executor.hpp>

#include <cstddef>
#include <string>
#include <string_view>

std::size_t length(std::string_view text);

void use(cadre::executor& any) {
#ifdef CADRE_MUST_FAIL
  any.submit(cadre::bind(&length, std::string_view{"text"}));
#else
  static_cast<void>(any.submit(cadre::bind(&length, "text")));
#endif
}
