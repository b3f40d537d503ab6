// SPDX-License-Identifier: MIT
#include <cadre/thread_pool_executor.hpp>

int main() {
  cadre::thread_pool_executor pool{1};
  return pool.submit([] { return 0; }).get();
}
