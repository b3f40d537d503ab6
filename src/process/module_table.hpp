// SPDX-License-Identifier: MIT
// Code that is the same in two processes of one program, though at different addresses: a module (the
// program or a shared library) and an offset in it.
//
//     module_table here;                           // in the one process
//     const code_address where = here.locate(p);   // 16 bytes; p < module_count()
//     const module_description what = here.describe(where.module);
//
//     module_resolver there;                       // in the other one
//     there.learn(where.module, what);             // once for each module
//     void* p = there.function(where);
//
// Threads    All functions of a module_table may be called at any time. A resolver belongs to one
//            thread.
// Cost       locate: 2 comparisons for code of the program itself, about 0.1 us for that of a shared
//            library, plus 10 us when libraries were loaded since.
#pragma once

#include <cadre/detail/atomic.hpp>
#include <cstddef>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sync/mutex.hpp"

namespace cadre::process {

/// Names code or data of a module by what both processes agree on.
struct code_address {
  std::uint32_t module = 0;  // an index; 0 is the program itself
  std::uint64_t offset = 0;  // from where the module is loaded

  bool operator==(const code_address&) const = default;
};

/// What tells a module from every other one, and from other versions of itself.
struct module_description {
  std::string path;      // empty: the program itself
  std::string identity;  // "build-id 6fa0..."; without one, the file's size and time

  bool operator==(const module_description&) const = default;
};

class module_table {
 public:
  /// Never destroyed: one table serves all pools of the process.
  static module_table& instance();

  /// Throws std::invalid_argument if the address belongs to no module.
  code_address locate(const void* address);

  /// The modules seen so far have the indices below this, for as long as the process lives.
  std::uint32_t module_count() const noexcept {
    // acquire: pairs with the release in refresh(); what was located is among them.
    return count_.load(std::memory_order_acquire);
  }
  /// Of a module that was seen: index < module_count().
  module_description describe(std::uint32_t index) const;

 private:
  struct mapped {
    std::uintptr_t base, begin, end;
    std::uint32_t index;
  };

  module_table();
  void refresh();

  std::uintptr_t program_base_ = 0, program_begin_ = 0, program_end_ = 0;  // constant
  sync::atomic<std::uint32_t> count_{1};                                   // the size of known_
  mutable sync::mutex mutex_;                                              // guards what follows
  std::vector<module_description> known_;
  std::vector<mapped> mapped_;
  std::uint64_t generation_ = 0;  // of the list of loaded modules that mapped_ shows
};

class module_resolver {
 public:
  /// `index` is the sender's. Indices are learnt in order; one that leaves a gap throws
  /// std::runtime_error.
  void learn(std::uint32_t index, module_description what);

  /// Where that code is in this process; loads its module if need be. Throws std::runtime_error if
  /// the module is unknown, cannot be loaded or is another version, and if the address is not in
  /// executable memory of it.
  void* function(code_address where);
  /// As function(), for `size` bytes of readable memory.
  const void* object(code_address where, std::size_t size, std::size_t alignment);

 private:
  struct segment {
    std::uint64_t begin, size;  // as offsets from the base
    unsigned flags;             // PF_R and so on
  };
  struct module {
    module_description what;
    std::optional<std::uintptr_t> base;  // once it was found
    std::vector<segment> segments;       // as of `generation` of the list of loaded modules
    std::uint64_t generation = 0;
  };
  static const std::vector<segment>& segments_of(module& m);

  std::uintptr_t checked(code_address where, std::size_t size, unsigned flags);

  std::vector<module> modules_;
};

/// True if this very code is part of the program, false if it is in a shared library, whose path is
/// then in *library.
bool linked_into_program(std::string* library);

}  // namespace cadre::process
