// SPDX-License-Identifier: MIT
#include "base/keep_loaded.hpp"

#include <dlfcn.h>

namespace cadre::detail {

void keep_loaded() noexcept {
  Dl_info here{};
  if (::dladdr(reinterpret_cast<const void*>(&keep_loaded), &here) == 0) return;
  // Of the program itself, and of one linked with -static, it finds nothing, and need not.
  if (here.dli_fname != nullptr) ::dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

}  // namespace cadre::detail
