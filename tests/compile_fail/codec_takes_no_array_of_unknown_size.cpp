// SPDX-License-Identifier: MIT
// expect: cadre: a value contains a unique_ptr to an array, which does not know how many
// names: std::unique_ptr<double
#include <cadre/codec.hpp>

#include <memory>
#include <vector>

struct samples {
#ifdef CADRE_MUST_FAIL
  std::unique_ptr<double[]> values;
#else
  std::vector<double> values;
#endif
};

void use(cadre::encoder& out, const samples& value) { cadre::encode(out, value); }
