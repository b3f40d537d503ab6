// SPDX-License-Identifier: MIT
// expect: cadre: the elements of a shared_buffer or shared_span contain a pointer
// names: linked
#include <cadre/shared_span.hpp>

struct linked {
  int value;
#ifdef CADRE_MUST_FAIL
  linked* next;
#else
  int next;
#endif
};

void use() {
  const cadre::shared_buffer<linked> list{10};
  static_cast<void>(list.size());
}
