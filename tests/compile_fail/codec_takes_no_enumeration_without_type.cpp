// SPDX-License-Identifier: MIT
// expect: cadre: a value contains an enumeration without a fixed type
// names: color
#include <cadre/codec.hpp>

#ifdef CADRE_MUST_FAIL
enum color { red, green };
#else
enum color : int { red, green };
#endif

void use(cadre::encoder& out, color value) { cadre::encode(out, value); }
