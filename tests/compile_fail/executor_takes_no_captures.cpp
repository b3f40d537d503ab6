// SPDX-License-Identifier: MIT
// expect: cadre: this callable is not portable; through cadre::executor submit a function
#include <cadre/executor.hpp>

void use(cadre::executor& any, int factor) {
#ifdef CADRE_MUST_FAIL
  any.submit([factor](int n) { return n * factor; }, 6);
#else
  static_cast<void>(any.submit([](int n, int by) { return n * by; }, 6, factor));
#endif
}
