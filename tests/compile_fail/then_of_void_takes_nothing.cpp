// SPDX-License-Identifier: MIT
// expect: then: the function must take no argument
#include <cadre/future.hpp>

cadre::future<int> one(const cadre::future<void>& done) {
#ifdef CADRE_MUST_FAIL
  return done.then([](int) { return 1; });
#else
  return done.then([] { return 1; });
#endif
}
