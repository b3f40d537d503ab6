// SPDX-License-Identifier: MIT
// shared_memory: what a shared_span refers to; and how processes of a pool tell each other which.
//
// The process that has some first gives it a number of its own. To each worker its descriptor goes once,
// in a packet with that number, ahead of the first call that needs it; later calls say the number.
//
//   parent -> worker   number * 2         of the parent
//   worker -> parent   number * 2         of the parent: memory that came with this very call
//                      index * 2 + 1      the packet with this index, of those that belong to the answer
//
// So the parent needs to believe nothing but what the call and the packets hold. When it has no more
// use for some memory, it tells the workers to forget it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "ipc/descriptor.hpp"
#include "ipc/event.hpp"
#include "ipc/packet_socket.hpp"
#include "ipc/region.hpp"
#include "process/packet.hpp"
#include "sync/mutex.hpp"

namespace cadre::detail {

class shared_memory {
 public:
  static std::shared_ptr<shared_memory> create(std::size_t size, bool everyone_writes);
  /// Maps it. Throws std::system_error, or std::runtime_error for what is no sealed memory.
  static std::shared_ptr<shared_memory> open(process::received_memory from);

  ~shared_memory();
  shared_memory(const shared_memory&) = delete;
  shared_memory& operator=(const shared_memory&) = delete;

  std::span<std::byte> bytes() const noexcept { return region_.bytes(); }
  bool everyone_writes() const noexcept { return everyone_writes_; }
  std::uint64_t number() const noexcept { return number_; }
  /// The number that the parent of this process gave it; 0 if it is from elsewhere.
  std::uint64_t parents_number() const noexcept { return parents_number_; }

  /// Sends it with `number`.
  ipc::packet_socket::outcome send(ipc::packet_socket& to, std::uint64_t number,
                                   ipc::packet_socket::mode how) const;

  /// `event` is rung when the memory goes.
  void tell_when_gone(const std::shared_ptr<ipc::event>& event) const;

 private:
  shared_memory(ipc::created_region made, bool everyone_writes, std::uint64_t parents_number);

  const ipc::region region_;
  const ipc::descriptor handle_;
  const bool everyone_writes_;
  const std::uint64_t number_;
  const std::uint64_t parents_number_;
  mutable sync::mutex mutex_;  // guards what follows
  mutable std::vector<std::weak_ptr<ipc::event>> told_;
};

using memory_ptr = std::shared_ptr<const shared_memory>;

}  // namespace cadre::detail
