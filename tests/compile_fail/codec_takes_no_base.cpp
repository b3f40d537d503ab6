// SPDX-License-Identifier: MIT
// expect: cadre: a struct has a base
// names: circle
#include <cadre/codec.hpp>

struct shape {
  int color;
};
#ifdef CADRE_MUST_FAIL
struct circle : shape {
  double radius;
};
#else
struct circle {
  shape base;
  double radius;
};
#endif

void use(cadre::encoder& out, const circle& value) { cadre::encode(out, value); }
