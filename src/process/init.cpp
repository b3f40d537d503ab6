// SPDX-License-Identifier: MIT
#include <cadre/init.hpp>

#include "process/role.hpp"

namespace cadre {

void init(int, char**) { process::serve_role_in_main(); }

}  // namespace cadre
