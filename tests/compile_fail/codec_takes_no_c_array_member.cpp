// SPDX-License-Identifier: MIT
// expect: cadre: a struct has a C array as a member
// names: address
#include <cadre/codec.hpp>

#include <array>

struct address {
#ifdef CADRE_MUST_FAIL
  char street[20];
#else
  std::array<char, 20> street;
#endif
  int number;
};

void use(cadre::encoder& out, const address& value) { cadre::encode(out, value); }
