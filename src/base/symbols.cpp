// SPDX-License-Identifier: MIT
#include "base/symbols.hpp"

#include <cxxabi.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace cadre {
namespace {

using elf_header = ElfW(Ehdr);
using elf_section = ElfW(Shdr);
using elf_symbol = ElfW(Sym);

class file {
 public:
  explicit file(const char* path) : fd_{::open(path, O_RDONLY | O_CLOEXEC)} {
    struct stat status;
    if (fd_ >= 0 && ::fstat(fd_, &status) == 0 && S_ISREG(status.st_mode)) {
      size_ = static_cast<std::uint64_t>(status.st_size);
    }
  }
  file(const file&) = delete;
  file& operator=(const file&) = delete;
  ~file() {
    if (fd_ >= 0) ::close(fd_);
  }

  /// `count` records of type T from `offset` on; none if they are not all there.
  template <typename T>
  std::vector<T> read(std::uint64_t offset, std::uint64_t count) const {
    if (offset > size_ || count > (size_ - offset) / sizeof(T)) return {};
    std::vector<T> records(count);
    auto* to = reinterpret_cast<char*>(records.data());
    std::size_t left = count * sizeof(T);
    while (left > 0) {
      const ssize_t got = ::pread(fd_, to, left, static_cast<off_t>(offset));
      if (got <= 0) return {};
      to += got;
      offset += static_cast<std::uint64_t>(got);
      left -= static_cast<std::size_t>(got);
    }
    return records;
  }

 private:
  int fd_;
  std::uint64_t size_ = 0;
};

/// The functions of a file of code: its symbols are read once, for all frames in it.
class function_list {
 public:
  explicit function_list(const char* path) : code_{path} {
    const auto headers = code_.read<elf_header>(0, 1);
    if (headers.empty() || std::memcmp(headers[0].e_ident, ELFMAG, SELFMAG) != 0) return;
    const auto sections = code_.read<elf_section>(headers[0].e_shoff, headers[0].e_shnum);
    for (const auto type : {SHT_SYMTAB, SHT_DYNSYM}) {  // the first has more, but may be stripped
      for (const elf_section& table : sections) {
        if (table.sh_type != static_cast<ElfW(Word)>(type) || table.sh_link >= sections.size()) {
          continue;
        }
        tables_.push_back(
            {code_.read<elf_symbol>(table.sh_offset, table.sh_size / sizeof(elf_symbol)),
             sections[table.sh_link]});
      }
    }
  }

  /// The function at that address, as "name+0x12"; empty if there is none.
  std::string at(std::uint64_t address) const {
    for (const auto& [symbols, names] : tables_) {
      for (const elf_symbol& symbol : symbols) {
        if ((symbol.st_info & 0xf) == STT_FUNC && symbol.st_shndx != SHN_UNDEF &&
            address - symbol.st_value < symbol.st_size && symbol.st_name < names.sh_size) {
          return describe(symbol, names, address);
        }
      }
    }
    return {};
  }

 private:
  struct symbol_table {
    std::vector<elf_symbol> symbols;
    elf_section names;
  };

  std::string describe(const elf_symbol& symbol, const elf_section& names,
                       std::uint64_t address) const {
    auto name = code_.read<char>(names.sh_offset + symbol.st_name,
                                 std::min<std::uint64_t>(names.sh_size - symbol.st_name, 4096));
    if (name.empty()) return {};
    name.back() = '\0';
    char offset[24];
    std::snprintf(offset, sizeof offset, "+%#llx",
                  static_cast<unsigned long long>(address - symbol.st_value));
    return demangle(name.data()) + offset;
  }

  const file code_;
  std::vector<symbol_table> tables_;
};

bool is_loaded(const std::string& path) {
  auto same = [](dl_phdr_info* info, std::size_t, void* wanted) {
    return int{*static_cast<const std::string*>(wanted) == info->dlpi_name};
  };
  return ::dl_iterate_phdr(same, const_cast<std::string*>(&path)) != 0;
}

}  // namespace

stack_frame locate(const void* address) {
  struct search {
    std::uint64_t address;
    stack_frame found;
  };
  search wanted{reinterpret_cast<std::uintptr_t>(address), {"?", 0}};
  wanted.found.address = wanted.address;
  auto look = [](dl_phdr_info* info, std::size_t, void* argument) {
    auto& [pc, found] = *static_cast<search*>(argument);
    for (int i = 0; i < info->dlpi_phnum; ++i) {
      const auto& segment = info->dlpi_phdr[i];
      if (segment.p_type == PT_LOAD && pc - info->dlpi_addr - segment.p_vaddr < segment.p_memsz) {
        found = {info->dlpi_name, pc - info->dlpi_addr};
        return 1;
      }
    }
    return 0;
  };
  ::dl_iterate_phdr(look, &wanted);  // unlike dladdr(3), also in a static program
  return wanted.found;
}

std::vector<std::string> describe_frames(std::span<const stack_frame> frames) {
  std::map<std::string, function_list> files;
  std::vector<std::string> all;
  for (const stack_frame& frame : frames) {
    const bool own = frame.file.empty();
    std::string text;
    // The program may have been replaced on disk; this link still leads to what runs.
    if (own || is_loaded(frame.file)) {
      const char* const path = own ? "/proc/self/exe" : frame.file.c_str();
      text = files.try_emplace(frame.file, path).first->second.at(frame.address);
    }
    if (text.empty()) {
      char address[24];
      std::snprintf(address, sizeof address, "%#llx",
                    static_cast<unsigned long long>(frame.address));
      text = address;
    }
    all.push_back(text + " in " + (own ? "the program" : frame.file));
  }
  return all;
}

std::string demangle(const char* name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> readable{
      abi::__cxa_demangle(name, nullptr, nullptr, &status), &std::free};
  return readable ? readable.get() : name;
}

}  // namespace cadre
