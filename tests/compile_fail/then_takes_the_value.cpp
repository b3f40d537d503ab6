// SPDX-License-Identifier: MIT
// expect: then: the function must take the value
#include <cadre/future.hpp>

#include <string>

cadre::future<int> length(const cadre::future<std::string>& text) {
#ifdef CADRE_MUST_FAIL
  return text.then([](int number) { return number; });
#else
  return text.then([](const std::string& value) { return static_cast<int>(value.size()); });
#endif
}
