// SPDX-License-Identifier: MIT
// init: the first statement of main(), in the few programs that need it.
//
//     int main(int argc, char** argv) {
//       cadre::init(argc, argv);
//
// Needed     By process pools in programs linked with -static. Elsewhere worker processes are diverted
//            before main() without it. Instead of a call, such a program may be linked with
//            -Wl,--wrap=main.
// Worker     In a process that cadre started as a worker it never returns.
// Cost       Nothing in any other process.
#pragma once

#include <cadre/config.hpp>

namespace cadre {

/// To be called before main() does anything else: a worker process begins here. `argc` and `argv`
/// are main()'s.
CADRE_API void init(int argc, char** argv);

}  // namespace cadre
