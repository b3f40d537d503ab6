// SPDX-License-Identifier: MIT
// A const handle cannot be emptied: its value is read, not moved out.
// expect: use of deleted function|call to deleted constructor|deleted
#include <cadre/future.hpp>

#include <memory>
#include <utility>

std::unique_ptr<int> take(cadre::future<std::unique_ptr<int>> f) {
#ifdef CADRE_MUST_FAIL
  const auto handle = f;
  return std::move(handle).get();
#else
  return std::move(f).get();
#endif
}
