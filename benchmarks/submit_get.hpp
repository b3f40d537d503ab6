// SPDX-License-Identifier: MIT
// One producer's part of submit_get and submit_get_2p.
#pragma once

#include <vector>

#include "peers.hpp"

namespace bench {

template <typename Pool>
inline constexpr int submit_get_calls = static_cast<int>(1'000'000 * Pool::call_share);

/// The futures of a round. They are reserved once and destroyed within each round, because some
/// futures free their call in get() and others in the destructor.
template <typename Pool>
class producer {
 public:
  producer(Pool& pool, int calls) : pool_{pool}, calls_{calls} {
    futures_.reserve(static_cast<std::size_t>(calls));
  }

  void round() {
    for (int i = 0; i < calls_; ++i) futures_.push_back(pool_.submit(empty_call));
    for (auto& future : futures_) future.get();
    futures_.clear();
  }

 private:
  static constexpr auto empty_call = [] {};

  Pool& pool_;
  int calls_;
  std::vector<decltype(pool_.submit(empty_call))> futures_;
};

}  // namespace bench
