// SPDX-License-Identifier: MIT
// Source: LLVM's sanitizers divert main() in the same way.
#include "process/start_hook.hpp"

#include <dlfcn.h>

// Clang's -fsanitize=function would check functions that were compiled without it.
#ifdef __clang__
#define NO_FUNCTION_CHECK __attribute__((no_sanitize("function")))
#else
#define NO_FUNCTION_CHECK
#endif

namespace cadre::process {

constinit bool start_hook_ran = false;

namespace {

using main_function = int(int, char**, char**);
using start_function = int(main_function*, int, char**, void (*)(), void (*)(), void (*)(), void*);

constinit main_function* users_main = nullptr;

NO_FUNCTION_CHECK int wrapped_main(int argc, char** argv, char** environment) {
  if (serve_role != nullptr) serve_role();
  return users_main(argc, argv, environment);
}

}  // namespace
}  // namespace cadre::process

// Weak: in a program linked with -static, libc.a brings its own, which wins; cadre::init() takes
// the hook's place there.
extern "C" NO_FUNCTION_CHECK __attribute__((weak, visibility("default"))) int __libc_start_main(
    cadre::process::main_function* main, int argc, char** argv, void (*init)(), void (*fini)(),
    void (*rtld_fini)(), void* stack_end) {
  using namespace cadre::process;
  start_hook_ran = true;
  users_main = main;
  if (find_role != nullptr) find_role();
  auto* next = reinterpret_cast<start_function*>(::dlsym(RTLD_NEXT, "__libc_start_main"));
  return next(&wrapped_main, argc, argv, init, fini, rtld_fini, stack_end);
}
