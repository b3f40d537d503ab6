// SPDX-License-Identifier: MIT
#pragma once

#include <signal.h>

#include <array>
#include <cstddef>

namespace cadre::process {

/// What this process does on each signal, as it was.
class signal_state {
 public:
  signal_state() noexcept {
    ::sigprocmask(SIG_SETMASK, nullptr, &mask_);
    for (int s = 1; s < static_cast<int>(actions_.size()); ++s) {
      known_[static_cast<std::size_t>(s)] =
          ::sigaction(s, nullptr, &actions_[static_cast<std::size_t>(s)]) == 0;
    }
  }
  void restore() const noexcept {
    for (int s = 1; s < static_cast<int>(actions_.size()); ++s) {
      const auto place = static_cast<std::size_t>(s);
      if (known_[place]) ::sigaction(s, &actions_[place], nullptr);
    }
    ::sigprocmask(SIG_SETMASK, &mask_, nullptr);
  }

 private:
  sigset_t mask_{};
  std::array<struct sigaction, NSIG> actions_{};
  std::array<bool, NSIG> known_{};  // not those of the C library
};

}  // namespace cadre::process
