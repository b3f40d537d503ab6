// SPDX-License-Identifier: MIT
#include "process/module_table.hpp"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <span>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace cadre::process {
namespace {

std::span<const ElfW(Phdr)> segments(const dl_phdr_info& module) {
  return {module.dlpi_phdr, module.dlpi_phnum};
}

/// Calls f(const dl_phdr_info&, bool is_program) for each loaded module until it returns true.
template <typename Function>
void for_each_module(Function f) {
  struct context {
    Function& f;
    bool is_program = true;  // the first of the list
  } all{f};
  ::dl_iterate_phdr(
      [](dl_phdr_info* module, std::size_t, void* given) {
        auto& c = *static_cast<context*>(given);
        return c.f(std::as_const(*module), std::exchange(c.is_program, false)) ? 1 : 0;
      },
      &all);
}

std::string hexadecimal(std::span<const unsigned char> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : bytes) {
    text += digits[byte >> 4U];
    text += digits[byte & 15U];
  }
  return text;
}

/// The build-id among the notes of one segment, or nothing. Source: elf(5), gABI "Note Section".
std::string build_id(std::span<const unsigned char> notes, std::size_t alignment) {
  const auto padded = [&](std::size_t size) {
    return (size + alignment - 1) / alignment * alignment;
  };
  ElfW(Nhdr) note;
  while (notes.size() >= sizeof note) {
    std::memcpy(&note, notes.data(), sizeof note);
    const std::size_t name = sizeof note;
    const std::size_t content = name + padded(note.n_namesz);
    const std::size_t end = content + note.n_descsz;
    if (end > notes.size()) break;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof ELF_NOTE_GNU &&
        std::memcmp(&notes[name], ELF_NOTE_GNU, sizeof ELF_NOTE_GNU) == 0) {
      return hexadecimal(notes.subspan(content, note.n_descsz));
    }
    notes = notes.subspan(std::min(padded(end), notes.size()));
  }
  return {};
}

std::string identity_of(const dl_phdr_info& module, bool is_program) {
  for (const ElfW(Phdr) & segment : segments(module)) {
    if (segment.p_type != PT_NOTE) continue;
    const auto* notes = reinterpret_cast<const unsigned char*>(module.dlpi_addr + segment.p_vaddr);
    const std::string id = build_id({notes, segment.p_memsz}, segment.p_align < 8 ? 4 : 8);
    if (!id.empty()) return "build-id " + id;
  }
  struct stat file {};
  if (::stat(is_program ? "/proc/self/exe" : module.dlpi_name, &file) != 0) return "no build-id";
  return "no build-id, " + std::to_string(file.st_size) + " bytes of " +
         std::to_string(file.st_mtim.tv_sec) + '.' + std::to_string(file.st_mtim.tv_nsec);
}

module_description description_of(const dl_phdr_info& module, bool is_program) {
  return {is_program ? "" : module.dlpi_name, identity_of(module, is_program)};
}

/// The first and last address that the module's segments span.
std::pair<std::uintptr_t, std::uintptr_t> extent(const dl_phdr_info& module) {
  std::uintptr_t begin = UINTPTR_MAX;
  std::uintptr_t end = 0;
  for (const ElfW(Phdr) & segment : segments(module)) {
    if (segment.p_type != PT_LOAD) continue;
    begin = std::min(begin, module.dlpi_addr + segment.p_vaddr);
    end = std::max(end, module.dlpi_addr + segment.p_vaddr + segment.p_memsz);
  }
  return {begin, end};
}

/// Changes with each dlopen() and dlclose().
std::uint64_t list_generation() {
  std::uint64_t generation = 0;
  for_each_module([&](const dl_phdr_info& module, bool) {
    generation = module.dlpi_adds + module.dlpi_subs;
    return true;
  });
  return generation;
}

std::string name_of(const module_description& what) {
  return what.path.empty() ? "the program" : what.path;
}

/// Where the described module is loaded, if it is.
std::optional<std::uintptr_t> base_of(const module_description& what) {
  std::optional<std::uintptr_t> base;
  for_each_module([&](const dl_phdr_info& module, bool is_program) {
    if (is_program != what.path.empty()) return false;
    // One file may have several names, but not two of them the same build-id.
    const bool same = identity_of(module, is_program) == what.identity;
    if (same) base = module.dlpi_addr;
    return same || is_program;
  });
  return base;
}

/// Loads the module, as its path says, and finds it. Throws if it is not the one described.
std::uintptr_t load(const module_description& what) {
  std::optional<std::uintptr_t> base = base_of(what);
  if (base) return *base;
  if (!what.path.empty() && ::dlopen(what.path.c_str(), RTLD_NOW) == nullptr) {
    throw std::runtime_error{"a worker process cannot load " + what.path + ": " + ::dlerror()};
  }
  base = base_of(what);
  if (base) return *base;
  std::string loaded = "none";
  for_each_module([&](const dl_phdr_info& module, bool is_program) {
    const module_description other = description_of(module, is_program);
    if (other.path == what.path) loaded = other.identity;
    return other.path == what.path;
  });
  throw std::runtime_error{"a worker process found another version of " + name_of(what) +
                           " than the one that the call comes from (" + loaded + " instead of " +
                           what.identity + "): do not replace its file while the program runs"};
}

}  // namespace

module_table& module_table::instance() {
  static auto* const table = new module_table;
  return *table;
}

module_table::module_table() {
  for_each_module([&](const dl_phdr_info& module, bool is_program) {
    program_base_ = module.dlpi_addr;
    std::tie(program_begin_, program_end_) = extent(module);
    known_.push_back(description_of(module, is_program));
    return true;
  });
}

void module_table::refresh() {
  mapped_.clear();
  for_each_module([&](const dl_phdr_info& module, bool is_program) {
    generation_ = module.dlpi_adds + module.dlpi_subs;
    if (is_program) return false;
    module_description what = description_of(module, is_program);
    auto same = std::find(known_.begin(), known_.end(), what);
    if (same == known_.end()) same = known_.insert(same, std::move(what));
    // release: pairs with the acquire in module_count().
    count_.store(static_cast<std::uint32_t>(known_.size()), std::memory_order_release);
    const auto [begin, end] = extent(module);
    mapped_.push_back(
        {module.dlpi_addr, begin, end, static_cast<std::uint32_t>(same - known_.begin())});
    return false;
  });
}

code_address module_table::locate(const void* address) {
  const auto value = reinterpret_cast<std::uintptr_t>(address);
  if (value >= program_begin_ && value < program_end_) return {0, value - program_base_};
  const std::uint64_t generation = list_generation();
  const std::lock_guard lock{mutex_};
  if (generation != generation_) refresh();
  for (const mapped& module : mapped_) {
    if (value < module.begin || value >= module.end) continue;
    return {module.index, value - module.base};
  }
  throw std::invalid_argument{
      "a function for a worker process belongs neither to the program nor to a library that it "
      "loaded: functions made at run time exist in one process only"};
}

module_description module_table::describe(std::uint32_t index) const {
  const std::lock_guard lock{mutex_};
  return known_.at(index);
}

void module_resolver::learn(std::uint32_t index, module_description what) {
  if (index > modules_.size()) throw std::runtime_error{"a worker process missed a module"};
  if (index == modules_.size()) modules_.emplace_back();
  modules_[index] = {std::move(what), std::nullopt, {}, 0};
}

/// None if it was unloaded. Requires that it has a base.
const std::vector<module_resolver::segment>& module_resolver::segments_of(module& m) {
  // The program stays.
  const bool is_program = m.what.path.empty();
  const std::uint64_t generation = is_program ? 1 : list_generation();
  if (m.generation == generation) return m.segments;
  m.segments.clear();
  for_each_module([&](const dl_phdr_info& loaded, bool) {
    if (loaded.dlpi_addr != *m.base) return false;
    for (const ElfW(Phdr) & s : segments(loaded)) {
      if (s.p_type == PT_LOAD) m.segments.push_back({s.p_vaddr, s.p_memsz, s.p_flags});
    }
    return true;
  });
  m.generation = generation;
  return m.segments;
}

std::uintptr_t module_resolver::checked(code_address where, std::size_t size, unsigned flags) {
  if (where.module >= modules_.size()) {
    throw std::runtime_error{"a call names a module that this worker process was never told of"};
  }
  module& from = modules_[where.module];
  if (!from.base) from.base = load(from.what);
  const auto has = [&](const segment& s) {
    return (s.flags & flags) == flags && where.offset >= s.begin &&
           where.offset - s.begin <= s.size && size <= s.size - (where.offset - s.begin);
  };
  if (!std::ranges::any_of(segments_of(from), has)) {
    throw std::runtime_error{"a call names a place in " + name_of(from.what) +
                             " that holds no code or data of the right kind"};
  }
  return *from.base + where.offset;
}

void* module_resolver::function(code_address where) {
  return reinterpret_cast<void*>(checked(where, 1, PF_X));
}

const void* module_resolver::object(code_address where, std::size_t size, std::size_t alignment) {
  const std::uintptr_t address = checked(where, size, PF_R);
  if (address % alignment != 0) {
    throw std::runtime_error{"a call names data that is not where such data can be"};
  }
  return reinterpret_cast<const void*>(address);
}

bool linked_into_program(std::string* library) {
  const auto self = reinterpret_cast<std::uintptr_t>(&module_table::instance);
  bool inside = true;
  for_each_module([&](const dl_phdr_info& module, bool is_program) {
    const auto [begin, end] = extent(module);
    if (self < begin || self >= end) return false;
    inside = is_program;
    *library = module.dlpi_name;
    return true;
  });
  return inside;
}

}  // namespace cadre::process
