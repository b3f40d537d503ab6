// SPDX-License-Identifier: MIT
// expect: no matching (member )?function
#include <cadre/promise.hpp>

void use(cadre::promise<int>& writer) {
#ifdef CADRE_MUST_FAIL
  writer.set_value("42");
#else
  writer.set_value(42);
#endif
}
