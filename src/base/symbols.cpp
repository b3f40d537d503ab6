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
#include <memory>
#include <string_view>
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

/// The function at `address` in a section of symbols, as "name+0x12"; empty if there is none.
std::string find_in(const file& code, const elf_section& table, const elf_section& strings,
                    std::uint64_t address) {
  for (const elf_symbol& symbol :
       code.read<elf_symbol>(table.sh_offset, table.sh_size / sizeof(elf_symbol))) {
    if ((symbol.st_info & 0xf) != STT_FUNC || symbol.st_shndx == SHN_UNDEF ||
        address - symbol.st_value >= symbol.st_size || symbol.st_name >= strings.sh_size) {
      continue;
    }
    auto name = code.read<char>(strings.sh_offset + symbol.st_name,
                                std::min<std::uint64_t>(strings.sh_size - symbol.st_name, 4096));
    if (name.empty()) return {};
    name.back() = '\0';
    char offset[24];
    std::snprintf(offset, sizeof offset, "+%#llx",
                  static_cast<unsigned long long>(address - symbol.st_value));
    return demangle(name.data()) + offset;
  }
  return {};
}

std::string find_function(const char* path, std::uint64_t address) {
  const file code{path};
  const auto headers = code.read<elf_header>(0, 1);
  if (headers.empty() || std::memcmp(headers[0].e_ident, ELFMAG, SELFMAG) != 0) return {};
  const auto sections = code.read<elf_section>(headers[0].e_shoff, headers[0].e_shnum);
  for (const auto type : {SHT_SYMTAB, SHT_DYNSYM}) {  // the first has more, but may be stripped
    for (const elf_section& table : sections) {
      if (table.sh_type != static_cast<ElfW(Word)>(type) || table.sh_link >= sections.size()) {
        continue;
      }
      auto found = find_in(code, table, sections[table.sh_link], address);
      if (!found.empty()) return found;
    }
  }
  return {};
}

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

std::string describe_frame(const stack_frame& frame) {
  const bool own = frame.file.empty();
  std::string text;
  // The program may have been replaced on disk; this link still leads to what runs.
  if (own || is_loaded(frame.file)) {
    text = find_function(own ? "/proc/self/exe" : frame.file.c_str(), frame.address);
  }
  if (text.empty()) {
    char address[24];
    std::snprintf(address, sizeof address, "%#llx", static_cast<unsigned long long>(frame.address));
    text = address;
  }
  return text + " in " + (own ? "the program" : frame.file);
}

std::string demangle(const char* name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> readable{
      abi::__cxa_demangle(name, nullptr, nullptr, &status), &std::free};
  return readable ? readable.get() : name;
}

}  // namespace cadre
