// SPDX-License-Identifier: MIT
#include "trace.hpp"

#include <algorithm>
#include <cstdio>

namespace cadre_model {
namespace {

constexpr std::size_t printed_steps = 250;
constexpr std::uint64_t small_number = 0x10000;

std::string hex(std::uint64_t bits) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(bits));
  return text;
}

}  // namespace

std::string trace::name_of(const void* address, names& unnamed) const {
  for (const range& r : labels_) {
    if (address < r.begin || address >= r.begin + r.size) continue;
    const auto offset = static_cast<const std::byte*>(address) - r.begin;
    return offset == 0 ? r.name : r.name + ("+" + std::to_string(offset));
  }
  auto known = std::find(unnamed.begin(), unnamed.end(), address);
  const auto index = static_cast<std::size_t>(known - unnamed.begin());
  if (known == unnamed.end()) unnamed.push_back(address);
  const std::string letter(1, static_cast<char>('a' + index % 26));
  return index < 26 ? letter : letter + std::to_string(index / 26);
}

std::string trace::value(std::uint64_t bits) const {
  if (bits < small_number) return std::to_string(bits);
  // A pointer into a labelled object, perhaps with flags in its low bits.
  for (const range& r : labels_) {
    const auto begin = reinterpret_cast<std::uintptr_t>(r.begin);
    if (bits < begin || bits >= begin + r.size) continue;
    return bits == begin ? "&" + std::string{r.name}
                         : "&" + std::string{r.name} + "+" + std::to_string(bits - begin);
  }
  return hex(bits);
}

std::string trace::to_string() const {
  std::string text;
  names unnamed;
  const std::size_t skipped = steps_.size() > printed_steps ? steps_.size() - printed_steps : 0;
  if (skipped != 0) text += "  ... " + std::to_string(skipped) + " steps\n";
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const step& s = steps_[i];
    const std::string name = s.address != nullptr ? name_of(s.address, unnamed) : "";
    if (i < skipped) continue;
    text += s.thread == 0 ? "  body      " : "  thread " + std::to_string(s.thread) + "  ";
    text += s.operation;
    if (s.address != nullptr) text += " " + name;
    if (s.values) {
      text += ": " + value(s.values->first);
      if (s.values->second != s.values->first) text += " -> " + value(s.values->second);
    }
    if (s.times > 1) text += " (" + std::to_string(s.times) + " times)";
    text += '\n';
  }
  return text;
}

}  // namespace cadre_model
