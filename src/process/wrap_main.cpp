// SPDX-License-Identifier: MIT
// For programs linked with -Wl,--wrap=main: what cadre::init() does, with no word in main(). In all
// others the linker has no use for this file.
#include "process/role.hpp"

// Weak: only the linker option brings it into being.
extern "C" [[gnu::weak]] int __real_main(int argc, char** argv, char** environment);
extern "C" __attribute__((visibility("default"))) int __wrap_main(int argc, char** argv,
                                                                  char** environment);

int __wrap_main(int argc, char** argv, char** environment) {
  cadre::process::serve_role_in_main();
  return __real_main(argc, argv, environment);
}
