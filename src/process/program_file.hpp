// SPDX-License-Identifier: MIT
// Which file is to be executed, for another process of this program.
#pragma once

#include <string>

namespace cadre::process {

/// "/proc/self/exe", which is right also when the file was moved, replaced or deleted. Under valgrind,
/// where that is valgrind: the path of the program.
std::string program_file();

}  // namespace cadre::process
