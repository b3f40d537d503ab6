// SPDX-License-Identifier: MIT
// What goes through the socket beside a channel: one packet each.
//
//   to the worker   modules   what their indices mean (module_table.hpp): as bytes behind the head, or, if
//                             these are many, in memory whose descriptor comes along
//   both ways       memory    a descriptor of shared memory (shared_memory.hpp)
//
// A packet goes ahead of the frame that needs it, which says how many there are. What goes this way is
// the parent's own knowledge, never an argument: a worker loads only what is named here.
//
// Neither side waits for room in the socket. It holds a few hundred packets, and a worker takes them out
// only when a frame announces them. So a parent that finds it full announces those that are under way,
// and tries again later.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ipc/descriptor.hpp"
#include "ipc/packet_socket.hpp"
#include "process/module_table.hpp"

namespace cadre::process {

enum class packet_kind : std::uint32_t { memory, modules };

/// How a packet begins.
struct packet_head {
  std::uint64_t number = 0;  // of the memory; or the index of the first module
  std::uint64_t size = 0;    // bytes of the memory, or of the list of modules
  std::uint32_t everyone_writes = 0;
  packet_kind kind = packet_kind::memory;
};

/// Of one call or answer, of memory. More would not fit into a socket that nobody reads yet.
inline constexpr std::size_t most_memories = 64;

/// A list of modules up to this size goes without a descriptor. The smallest buffer that a system gives
/// to a socket takes it.
inline constexpr std::size_t most_inline_modules = 2048;

/// Memory that another process has sent, not mapped yet.
struct received_memory {
  packet_head what;
  ipc::descriptor handle;  // none: there was no descriptor left to receive it
};

/// Sends what the modules from the index `first` on are. Does not block. Throws std::system_error.
ipc::packet_socket::outcome send_modules(ipc::packet_socket& to, std::uint32_t first,
                                         const std::vector<module_description>& all);

/// What such a packet says, of which `bytes` came behind the head. Throws std::exception if it makes no
/// sense, or if there was no descriptor left.
std::vector<module_description> read_modules(const packet_head& what,
                                             std::span<const std::byte> bytes,
                                             const ipc::descriptor& handle);

}  // namespace cadre::process
