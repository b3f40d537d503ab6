// SPDX-License-Identifier: MIT
// A program of the matrix that knows nothing of cadre: it loads the library named on its command line.
#include <dlfcn.h>

#include <cstdio>

int main(int, char** argv) {
  void* const library = ::dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    std::puts(::dlerror());
    return 4;
  }
  return reinterpret_cast<int (*)()>(::dlsym(library, "run"))();
}
