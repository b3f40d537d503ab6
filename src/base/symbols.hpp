// SPDX-License-Identifier: MIT
// From addresses of code to names of functions, in two steps that may be in different processes of
// one program: the first is cheap and is done where something went wrong, the second is done where
// somebody asks.
//
// Source: the symbol tables of ELF files, elf(5). A program is usually linked without telling the
// dynamic linker the names of its functions, so dladdr(3) alone would find few.
#pragma once

#include <cadre/errors.hpp>

#include <span>
#include <string>
#include <vector>

namespace cadre {

/// The file of code that an address of this process is in. Cost: about a microsecond.
stack_frame locate(const void* address);

/// For each, "function(int)+0x12 in file", or what of this is known. Only files that this process has
/// loaded itself are opened: the name may come from a process that is not to be trusted. Cost: each of
/// these files is read once, as far as it names functions.
std::vector<std::string> describe_frames(std::span<const stack_frame> frames);

/// A mangled name as the source spells it, or as it is.
std::string demangle(const char* name);

}  // namespace cadre
