// SPDX-License-Identifier: MIT
#include <cadre/config.hpp>

namespace cadre::detail {

const char CADRE_LIBRARY_FITS = 0;

}  // namespace cadre::detail
