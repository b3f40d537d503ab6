// SPDX-License-Identifier: MIT
// How the addresses of functions cross between a pool and its workers.
#pragma once

#include "process/module_table.hpp"

namespace cadre::process {

/// From now on the codec can encode functions and exceptions. Idempotent.
void install_crossings();

/// In a worker: where the functions that its parent names are. It must live as long as the process.
void decode_functions_with(module_resolver& resolver);

}  // namespace cadre::process
