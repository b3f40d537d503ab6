// SPDX-License-Identifier: MIT
// Both ends of a channel in one process, for tests that are the worker.
#pragma once

#include <cstddef>

#include "ipc/channel.hpp"
#include "ipc/event.hpp"
#include "ipc/region.hpp"

namespace cadre::test {

inline ipc::created_region make_channel_region() {
  constexpr std::size_t ring_size = 4096;
  return ipc::region::create(ipc::channel_region_size(ring_size), ipc::region::access::mine);
}

struct channel_pair {
  const ipc::created_region parents = make_channel_region();
  const ipc::created_region workers = make_channel_region();
  ipc::parent_end parent{ipc::own_half_of(parents.memory), ipc::peer_half_of(workers.memory)};
  ipc::worker_end worker{ipc::own_half_of(workers.memory), ipc::peer_half_of(parents.memory),
                         ipc::event{}};
};

}  // namespace cadre::test
