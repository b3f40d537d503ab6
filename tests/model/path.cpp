// SPDX-License-Identifier: MIT
#include "path.hpp"

#include <algorithm>

namespace cadre_model {

void path::clear() noexcept {
  steps_.clear();
  length_ = 0;
  was_bounded_ = false;
}

bool path::next() {
  length_ = 0;
  for (; !steps_.empty(); steps_.pop_back()) {
    const auto& all = steps_.back().alternatives;
    const auto untried = std::find_if(all.begin(), all.end(),
                                      [](const alternative& a) { return a.demanded && !a.tried; });
    if (untried == all.end()) continue;
    take(steps_.size() - 1, static_cast<std::size_t>(untried - all.begin()));
    return true;
  }
  return false;
}

std::optional<std::size_t> path::choose(const std::vector<alternative>& alternatives) {
  const std::size_t index = length_++;
  if (index == steps_.size()) {
    steps_.push_back({alternatives, 0, 0});
    const auto first = std::find_if(alternatives.begin(), alternatives.end(),
                                    [](const alternative& a) { return a.affordable; });
    take(index, static_cast<std::size_t>(first - alternatives.begin()));
  }
  const step& s = steps_[index];
  return s.alternatives.size() == alternatives.size() ? std::optional{s.taken} : std::nullopt;
}

void path::take(std::size_t index, std::size_t taken) {
  step& s = steps_[index];
  s.taken = taken;
  s.alternatives[taken].tried = true;
  const auto thread_of = [](const step& of) { return of.alternatives[of.taken].thread; };
  const bool same_thread = index > 0 && thread_of(steps_[index - 1]) == thread_of(s);
  s.after_switch = same_thread ? steps_[index - 1].after_switch : index;
}

void path::demand(std::size_t index, int thread) {
  demand_at(steps_[index], thread);
  demand_at(steps_[steps_[index].after_switch], thread);
}

/// If the thread could not go on there, any other may be the one that lets it.
void path::demand_at(step& s, int thread) {
  const bool could = std::any_of(s.alternatives.begin(), s.alternatives.end(),
                                 [&](const alternative& a) { return a.thread == thread; });
  for (alternative& a : s.alternatives) {
    if (could && a.thread != thread) continue;
    if (!a.affordable && !a.tried) was_bounded_ = true;
    a.demanded = a.demanded || a.affordable;
  }
}

}  // namespace cadre_model
