// SPDX-License-Identifier: MIT
// Names of functions, out of the symbol tables of a program's or library's file: also of those that
// are not exported, unless it was stripped.
#pragma once

#include <cstdint>
#include <string>

namespace cadre::process {

/// "name(int)+0x12" of what is at that offset from where the file is loaded; empty if no symbol
/// covers it. Reads the file; nothing in it is trusted. Cost: milliseconds for a large file.
std::string symbol_at(const std::string& path, std::uint64_t offset);

}  // namespace cadre::process
