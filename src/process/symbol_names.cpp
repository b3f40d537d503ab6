// SPDX-License-Identifier: MIT
#include "process/symbol_names.hpp"

#include <cxxabi.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "process/unique_fd.hpp"

namespace cadre::process {
namespace {

// Larger symbol tables are not searched.
constexpr std::uint64_t max_section = std::uint64_t{256} << 20;

/// A regular file, read with checks. Not mapped: it may shrink meanwhile.
class input_file {
 public:
  explicit input_file(const std::string& path)
      : file_{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)} {
    struct stat status {};
    if (file_ && ::fstat(file_.get(), &status) == 0 && S_ISREG(status.st_mode)) {
      size_ = static_cast<std::uint64_t>(status.st_size);
    }
  }

  std::vector<char> bytes(std::uint64_t position, std::uint64_t size) const {
    if (position > size_ || size > size_ - position || size > max_section) return {};
    std::vector<char> read(static_cast<std::size_t>(size));
    const ssize_t got =
        ::pread(file_.get(), read.data(), read.size(), static_cast<off_t>(position));
    read.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    return read;
  }

  template <typename T>
  std::optional<T> at(std::uint64_t position) const {
    const std::vector<char> read = bytes(position, sizeof(T));
    if (read.size() != sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, read.data(), sizeof value);
    return value;
  }

 private:
  unique_fd file_;
  std::uint64_t size_ = 0;
};

std::string demangled(const char* name) {
  int failed = 0;
  const std::unique_ptr<char, decltype(&std::free)> text{
      abi::__cxa_demangle(name, nullptr, nullptr, &failed), &std::free};
  return text == nullptr ? name : text.get();
}

std::string search(const input_file& file, const ElfW(Shdr) & table, const ElfW(Shdr) & names,
                   std::uint64_t offset) {
  const std::vector<char> symbols = file.bytes(table.sh_offset, table.sh_size);
  ElfW(Sym) symbol;
  for (std::size_t at = 0; at + sizeof symbol <= symbols.size(); at += sizeof symbol) {
    std::memcpy(&symbol, &symbols[at], sizeof symbol);
    if ((symbol.st_info & 15) != STT_FUNC || offset < symbol.st_value) continue;
    const std::uint64_t inside = offset - symbol.st_value;
    if (inside >= symbol.st_size) continue;
    std::vector<char> text = file.bytes(names.sh_offset, names.sh_size);
    if (symbol.st_name >= text.size()) return {};
    text.push_back('\0');
    char place[24];
    std::snprintf(place, sizeof place, "+0x%llx", static_cast<unsigned long long>(inside));
    return demangled(&text[symbol.st_name]) + place;
  }
  return {};
}

}  // namespace

std::string symbol_at(const std::string& path, std::uint64_t offset) {
  const input_file file{path};
  const auto header = file.at<ElfW(Ehdr)>(0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return {};
  const auto section = [&](std::uint64_t index) {
    return file.at<ElfW(Shdr)>(header->e_shoff + index * sizeof(ElfW(Shdr)));
  };
  for (const unsigned kind : {unsigned{SHT_SYMTAB}, unsigned{SHT_DYNSYM}}) {
    for (unsigned i = 0; i < header->e_shnum; ++i) {
      const auto table = section(i);
      if (!table || table->sh_type != kind) continue;
      const auto names = section(table->sh_link);
      std::string found = names ? search(file, *table, *names, offset) : "";
      if (!found.empty()) return found;
    }
  }
  return {};
}

}  // namespace cadre::process
