// SPDX-License-Identifier: MIT
// expect: cadre: a value contains a pointer, a reference or a view
// names: int
#include <cadre/codec.hpp>

#ifdef CADRE_MUST_FAIL
using number = int&;
#else
using number = int;
#endif

struct line {
  int from;
  number to;
};
struct drawing {
  line only;
};

void use(cadre::encoder& out, const drawing& value) { cadre::encode(out, value); }
