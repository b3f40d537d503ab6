// SPDX-License-Identifier: MIT
// cadre::sync::atomic: the one door to atomics, for the whole library.
//
// It is std::atomic, except in the build preset `model`, where the schedule explorer of
// tests/model takes its place and runs the same code through every interleaving.
#pragma once

#ifdef CADRE_MODEL
#include <cadre_model/atomic.hpp>  // IWYU pragma: export
#else
#include <atomic>

namespace cadre::sync {

using std::atomic;

}  // namespace cadre::sync
#endif
