// SPDX-License-Identifier: MIT
// pool_story with failing allocations.
#pragma once

#include <cadre/hooks.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "fault/allocation/failing_malloc.hpp"
#include "fault/pool_story.hpp"
#include "fault/stepping.hpp"

namespace cadre::test {

inline void calm_allocations() { static_cast<void>(allow_allocations()); }

/// What errors may name as their cause.
inline const std::vector<std::string_view> allocation_causes{"bad_alloc", "Cannot allocate memory",
                                                             "had no memory"};

/// Tells the story with the n-th allocation and `count - 1` more failing; complains and ends the program
/// if it does not go well. Returns how many allocations there were.
template <typename Pool>
long tell_with_failing(long n, long count) {
  long there_were = 0;
  for (int again = 0;; ++again) {
    const long before = live_blocks();
    {
      pool_story story{allocation_causes, &calm_allocations};
      fail_allocations(n, count);
      story.tell<Pool>();
      there_were = allow_allocations();
      if (!story.complaint().empty()) {
        std::fprintf(stderr, "n = %ld: %s\n", n, story.complaint().c_str());
        std::exit(EXIT_FAILURE);
      }
    }
    // What is kept on purpose is there at the latest after some repetitions; a leak grows each time.
    if (live_blocks() <= before) return there_were;
    if (again == 20) {
      std::fprintf(stderr, "n = %ld: each time %ld blocks are not freed\n", n,
                   live_blocks() - before);
      std::exit(EXIT_FAILURE);
    }
  }
}

template <typename Pool>
int go_through_allocations(long count) {
  set_unhandled_hook([](const unhandled&) noexcept {});
  constexpr long none = 1L << 40;
  long most = 0;
  for (int i = 0; i < 3; ++i) most = std::max(most, tell_with_failing<Pool>(none, 1));
  const resources before;
  step_watchdog watchdog{&calm_allocations};
  for (long n = number_from_environment(first_step_name); n < most; ++n) {
    if (n % step_stride() != 0) continue;
    watchdog.begin_step();
    print_step(n);
    most = std::max(most, tell_with_failing<Pool>(n, count));
    // A thread more: the watchdog.
    if (const std::string left = resources{}.more_than({before.descriptors, before.threads + 1});
        !left.empty()) {
      std::fprintf(stderr, "n = %ld: %s\n", n, left.c_str());
      return EXIT_FAILURE;
    }
  }
  return EXIT_SUCCESS;
}

}  // namespace cadre::test
