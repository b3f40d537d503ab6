// SPDX-License-Identifier: MIT
// expect: future_range
#include <cadre/wait.hpp>

#include <vector>

void use(const std::vector<cadre::future<int>>& futures) {
#ifdef CADRE_MUST_FAIL
  cadre::wait(std::vector{1, 2, 3});
#else
  cadre::wait(futures);
#endif
}
