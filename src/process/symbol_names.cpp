// SPDX-License-Identifier: MIT
#include "process/symbol_names.hpp"

#include <cxxabi.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "process/unique_fd.hpp"

namespace cadre::process {
namespace {

/// A file in memory, read with checks.
class mapped_file {
 public:
  explicit mapped_file(const std::string& path) {
    const unique_fd file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    struct stat status {};
    if (!file || ::fstat(file.get(), &status) != 0 || status.st_size <= 0) return;
    const auto size = static_cast<std::size_t>(status.st_size);
    void* memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (memory != MAP_FAILED) bytes_ = {static_cast<const char*>(memory), size};
  }
  ~mapped_file() {
    if (!bytes_.empty()) ::munmap(const_cast<char*>(bytes_.data()), bytes_.size());
  }
  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;

  template <typename T>
  std::optional<T> at(std::uint64_t position) const {
    if (position > bytes_.size() || bytes_.size() - position < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, bytes_.data() + position, sizeof value);
    return value;
  }

  std::string text_at(std::uint64_t position) const {
    if (position >= bytes_.size()) return {};
    const std::string_view rest{bytes_.data() + position, bytes_.size() - position};
    return std::string{rest.substr(0, rest.find('\0'))};
  }

 private:
  std::span<const char> bytes_;
};

std::string demangled(const std::string& name) {
  int failed = 0;
  const std::unique_ptr<char, decltype(&std::free)> text{
      abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &failed), &std::free};
  return text == nullptr ? name : text.get();
}

std::string search(const mapped_file& file, const ElfW(Shdr) & table, const ElfW(Shdr) & names,
                   std::uint64_t offset) {
  for (std::uint64_t at = 0; at < table.sh_size; at += sizeof(ElfW(Sym))) {
    const auto symbol = file.at<ElfW(Sym)>(table.sh_offset + at);
    if (!symbol) break;
    if ((symbol->st_info & 15) != STT_FUNC || offset < symbol->st_value) continue;
    const std::uint64_t inside = offset - symbol->st_value;
    if (inside >= symbol->st_size) continue;
    char place[24];
    std::snprintf(place, sizeof place, "+0x%llx", static_cast<unsigned long long>(inside));
    return demangled(file.text_at(names.sh_offset + symbol->st_name)) + place;
  }
  return {};
}

}  // namespace

std::string symbol_at(const std::string& path, std::uint64_t offset) {
  const mapped_file file{path};
  const auto header = file.at<ElfW(Ehdr)>(0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return {};
  const auto section = [&](std::uint64_t index) {
    return file.at<ElfW(Shdr)>(header->e_shoff + index * sizeof(ElfW(Shdr)));
  };
  for (const unsigned kind : {SHT_SYMTAB, SHT_DYNSYM}) {
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
