// SPDX-License-Identifier: MIT
// What a process is and cannot become again once it has changed: whose rights it has (users, groups,
// capabilities, filters of system calls), and where it is (root directory, namespaces).
//
// A zygote has the identity that the program had when it was booted, and gives it to its workers. The
// starter boots another zygote when the program's identity is not that one any more: a worker must not
// have rights that the program gave up.
#pragma once

#include <string>
#include <string_view>

#include "process/process_status.hpp"

namespace cadre::process {

/// Those that the calling thread is in. No other thread can change them. Those that cannot be asked for are
/// left out. Cost: 10 us. Throws std::system_error.
std::string namespaces_of_this_thread();

/// Of the calling thread, whose status and namespaces those are, as a value that is only compared. Two
/// processes of which it is equal can do the same to files, processes and the system. Cost: 10 us. Throws
/// std::system_error.
std::string process_identity(const process_status& status, std::string_view namespaces);

}  // namespace cadre::process
