// SPDX-License-Identifier: MIT
// make_executor: an executor chosen by one string, at run time.
//
//     auto any = cadre::make_executor(std::getenv("CADRE_EXECUTOR"));   // "threads:8"
//     any->submit(&simulate, 42);
//
// "threads"     a thread_pool_executor with usable_cpus() workers
// "threads:N"   with N workers
// "processes"   a process_pool_executor with usable_cpus() workers
// "processes:N" with N workers
// "inline"      an inline_executor
//
// Errors     std::invalid_argument for any other string, listing the valid ones.
#pragma once

#include <cadre/config.hpp>
#include <cadre/executor.hpp>

#include <memory>
#include <string_view>

namespace cadre {

CADRE_API std::unique_ptr<executor> make_executor(std::string_view description);
/// Null, as from std::getenv of an unset variable, means "threads".
CADRE_API std::unique_ptr<executor> make_executor(const char* description);

}  // namespace cadre
