// SPDX-License-Identifier: MIT
// expect: cadre: an initializer, finalizer or preload is called without arguments
#include <cadre/process_pool_executor.hpp>

#include <string>

void load(const std::string& path);

void use(cadre::process_pool_options& options) {
#ifdef CADRE_MUST_FAIL
  options.preload = &load;
#else
  options.preload = cadre::bind(&load, "words");
#endif
}
