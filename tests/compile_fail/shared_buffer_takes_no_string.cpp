// SPDX-License-Identifier: MIT
// expect: cadre: the elements of a shared_buffer or shared_span must be trivially copyable
// names: basic_string<char
#include <cadre/shared_span.hpp>

#include <string>

void use() {
#ifdef CADRE_MUST_FAIL
  const cadre::shared_buffer<std::string> names{10};
#else
  const cadre::shared_buffer<char> names{10};
#endif
  static_cast<void>(names.size());
}
