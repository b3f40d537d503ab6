// SPDX-License-Identifier: MIT
// model_channel: both ends of a channel in the memory of a model test, with rings of a few bytes.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "explorer.hpp"
#include "ipc/channel.hpp"
#include "sync/futex.hpp"

namespace cadre_model {

/// An eventfd and the poller that reports its edges.
struct model_eventfd {
  void ring() {
    edges.fetch_add(1);
    cadre::sync::futex_wake(&edges);
  }
  /// As poller::wait(): false if nothing came before the deadline.
  bool poll(cadre::sync::time_point deadline) {
    bool in_time = true;
    while (edges.exchange(0) == 0) {
      if (!in_time) return false;
      in_time = cadre::sync::futex_wait(edges, 0, deadline);
    }
    return true;
  }
  cadre::sync::atomic<std::uint32_t> edges{0};
};

struct model_event {
  void ring() const { fd->ring(); }
  model_eventfd* fd;
};

/// Both sides of a channel in the memory of the test.
template <std::size_t Capacity>
struct model_channel {
  static constexpr std::size_t capacity = Capacity;

  model_channel() {
    label(parents.tail, "p.tail"), label(parents.head, "p.head");
    label(parents.sleep, "p.sleep"), label(parents.bell, "p.bell");
    label(workers.tail, "w.tail"), label(workers.head, "w.head"), label(workers.sleep, "w.sleep");
    label(eventfd.edges, "eventfd");
  }

  /// The parent's way to wait, for ever or until a time-out.
  bool parent_waits(cadre::ipc::wish w, cadre::sync::time_point deadline = cadre::sync::never) {
    for (;;) {
      const cadre::ipc::arming now = parent.arm(w);
      if (now != cadre::ipc::arming::armed) return now == cadre::ipc::arming::granted;
      const bool in_time = eventfd.poll(deadline);
      parent.disarm();
      if (!in_time) return parent.granted(w);
    }
  }
  bool worker_waits(cadre::ipc::wish w, cadre::sync::time_point deadline = cadre::sync::never) {
    return worker.wait(w, deadline, std::chrono::nanoseconds{0});
  }

  cadre::ipc::side parents, workers;
  std::array<std::byte, capacity> parents_ring{}, workers_ring{};
  model_eventfd eventfd;
  cadre::ipc::parent_end parent{{parents, parents_ring}, {workers, workers_ring}};
  cadre::ipc::basic_worker_end<model_event> worker{
      {workers, workers_ring}, {parents, parents_ring}, model_event{&eventfd}};
};

}  // namespace cadre_model
