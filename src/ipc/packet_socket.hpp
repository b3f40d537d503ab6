// SPDX-License-Identifier: MIT
// packet_socket: one end of a pair through which processes send each other packets and descriptors.
// A Unix socket of type SOCK_SEQPACKET.
//
//     auto [mine, theirs] = packet_socket::pair();
//     mine.send(bytes, std::array{region.get()});
//
// A packet arrives whole or not at all. Descriptors that arrive are close-on-exec and belong to the
// packet: what the receiver does not take out is closed with it.
//
// Threads    Any, on the same end, too: packets do not mix.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <utility>

#include "ipc/descriptor.hpp"

namespace cadre::ipc {

class packet_socket {
 public:
  static constexpr std::size_t max_descriptors = 8;

  enum class mode { wait, dont_wait };
  enum class outcome {
    done,
    would_block,  // only with dont_wait
    closed        // the other end is gone, for good
  };

  struct packet {
    outcome result = outcome::closed;
    std::size_t size = 0;
    bool cut_off = false;  // longer than the buffer, or this process may hold no more descriptors
    std::size_t descriptor_count = 0;
    std::array<descriptor, max_descriptors> descriptors;
  };

  explicit packet_socket(descriptor given) noexcept : fd_{std::move(given)} {}
  static std::pair<packet_socket, packet_socket> pair();

  /// Sends copies of the descriptors; the caller keeps its own. `bytes` must not be empty: to the
  /// receiver an empty packet is the end. Throws std::invalid_argument, std::system_error.
  outcome send(std::span<const std::byte> bytes, std::span<const int> descriptors = {},
               mode how = mode::wait);

  /// The next packet, or what there is of it; its bytes are in `buffer`. Throws std::system_error.
  packet receive(std::span<std::byte> buffer, mode how = mode::wait);

  int fd() const noexcept { return fd_.get(); }
  void close() noexcept { fd_.reset(); }

 private:
  descriptor fd_;
};

}  // namespace cadre::ipc
