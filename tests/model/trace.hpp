// SPDX-License-Identifier: MIT
// What a schedule did, step by step, to be read by people.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cadre_model {

struct step {
  int thread;
  const char* operation;
  const void* address = nullptr;
  std::optional<std::pair<std::uint64_t, std::uint64_t>> values = {};  // before and after
  int times = 1;

  bool repeats(const step& other) const noexcept {
    return thread == other.thread && operation == other.operation && address == other.address &&
           values == other.values;
  }
};

class trace {
 public:
  void clear() noexcept {
    size_ = 0;
    steps_.clear();
    labels_.clear();
  }
  void add(const step& s) {
    ++size_;
    if (!steps_.empty() && s.repeats(steps_.back())) {
      ++steps_.back().times;
    } else {
      steps_.push_back(s);
    }
  }
  void label(const void* begin, std::size_t size, const char* name) {
    labels_.push_back({static_cast<const std::byte*>(begin), size, name});
  }
  std::size_t size() const noexcept { return size_; }

  /// One line for each of the last steps. Atomics without a label are a, b, c, ... in the order in
  /// which they were first used.
  std::string to_string() const;

 private:
  struct range {
    const std::byte* begin;
    std::size_t size;
    const char* name;
  };
  using names = std::vector<const void*>;

  std::string name_of(const void* address, names& unnamed) const;
  std::string value(std::uint64_t bits) const;

  std::size_t size_ = 0;
  std::vector<step> steps_;
  std::vector<range> labels_;
};

}  // namespace cadre_model
