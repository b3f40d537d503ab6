// SPDX-License-Identifier: MIT
// expect: cadre: a value contains a pointer, a reference or a view
#include <cadre/executor.hpp>

#include <string>

#ifdef CADRE_MUST_FAIL
using text = const std::string&;
#else
using text = std::string;
#endif

struct count_letters {
  text words;
  int operator()(char letter) const { return static_cast<int>(words.find(letter)); }
};

void use(cadre::executor& any, const std::string& words) {
  static_cast<void>(any.submit(count_letters{words}, 'a'));
}
