// SPDX-License-Identifier: MIT
#include "races.hpp"

#include <algorithm>

namespace cadre_model {
namespace {

template <typename Clock>
void raise_to(Clock& clock, const Clock& other) {
  for (std::size_t i = 0; i < clock.size(); ++i) clock[i] = std::max(clock[i], other[i]);
}

}  // namespace

void races::clear() {
  threads_ = {};
  accesses_.clear();
}

void races::order(int from, int to) { raise_to(of(to), of(from)); }

void races::add(history& h, int thread, bool writes, std::size_t step) {
  clock& known = of(thread);
  for (const entry& e : h) {
    if (e.writes || writes) raise_to(known, e.known);
  }
  const std::uint32_t time = ++known[static_cast<std::size_t>(thread)];
  const auto superseded = [&](const entry& e) {
    return writes || (!e.writes && e.thread == thread);
  };
  h.erase(std::remove_if(h.begin(), h.end(), superseded), h.end());
  h.push_back({thread, writes, step, time, known});
}

}  // namespace cadre_model
