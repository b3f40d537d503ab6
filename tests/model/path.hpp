// SPDX-License-Identifier: MIT
// The steps of one schedule, at each of which some thread was chosen, and the way to the next
// schedule, depth first.
//
// Not every alternative is tried: only those that are demanded, because somebody noticed that the
// order of two steps matters. That is dynamic partial-order reduction (C. Flanagan, P. Godefroid,
// POPL 2005), with the addition for bounded searches of K. Coons, M. Musuvathi, K. McKinley,
// "Bounded Partial-Order Reduction" (OOPSLA 2013): what is demanded at a step is demanded at the
// last switch before it, too, where it may cost no preemption.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace cadre_model {

class path {
 public:
  struct alternative {
    int thread;
    bool affordable;  // within the bound
    bool demanded = false;
    bool tried = false;
  };

  /// Back to the first schedule of all.
  void clear() noexcept;

  /// Goes back to the last step with an alternative that is demanded and untried, and takes it.
  /// False if there is none.
  bool next();

  /// Which alternative this schedule takes at its next step. None if it had others the last time.
  std::optional<std::size_t> choose(const std::vector<alternative>& alternatives);

  /// The number of steps that the schedule has taken.
  std::size_t length() const noexcept { return length_; }

  /// True if the schedule took all the steps that it took the last time.
  bool at_end() const noexcept { return length_ == steps_.size(); }

  /// `thread` should have gone on at `step`, instead of the one that did.
  void demand(std::size_t step, int thread);

  /// True if something was demanded that is not affordable.
  bool was_bounded() const noexcept { return was_bounded_; }

 private:
  struct step {
    std::vector<alternative> alternatives;
    std::size_t taken;
    std::size_t after_switch;  // the first of the steps in a row of the thread that is taken
  };

  void take(std::size_t index, std::size_t alternative);
  void demand_at(step& s, int thread);

  std::vector<step> steps_;
  std::size_t length_ = 0;
  bool was_bounded_ = false;
};

}  // namespace cadre_model
