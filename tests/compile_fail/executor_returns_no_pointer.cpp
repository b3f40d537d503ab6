// SPDX-License-Identifier: MIT
// expect: cadre: the result is a pointer, a reference or a view
// names: const char
#include <cadre/executor.hpp>

#include <string>

void use(cadre::executor& any) {
#ifdef CADRE_MUST_FAIL
  any.submit([] { return "text"; });
#else
  static_cast<void>(any.submit([] { return std::string{"text"}; }));
#endif
}
