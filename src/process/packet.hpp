// SPDX-License-Identifier: MIT
// The messages between a process, its zygote and their workers while these start: one packet of a
// SOCK_SEQPACKET socket each, with descriptors. Nothing here is on the path of a call.
//
//     packet_writer out;
//     out.number(id).text("why");
//     send_packet(socket, out.bytes());
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "process/unique_fd.hpp"

namespace cadre::process {

// Larger would carry more to a worker's entry; the kernel refuses what exceeds the socket's buffer
// (208 KiB by default).
inline constexpr std::size_t max_packet = std::size_t{64} << 10;
// Of the kernel's 253; the arrays for them are on the stack.
inline constexpr std::size_t max_packet_fds = 16;

struct packet {
  std::vector<std::byte> bytes;
  std::vector<unique_fd> fds;  // close-on-exec
  bool fds_lost = false;       // this process can hold no more descriptors
};

struct socket_pair {
  unique_fd ours;
  unique_fd theirs;
};

/// Close-on-exec. Throws std::system_error.
socket_pair make_socket_pair();

/// Blocks while the other side's queue is full. False if the other side is gone. Throws
/// std::system_error, also if the packet is too large.
bool send_packet(int socket, std::span<const std::byte> bytes, std::span<const int> fds = {});

/// Blocks until a packet comes; none if the other side is gone. Throws std::system_error.
std::optional<packet> receive_packet(int socket);

class packet_writer {
 public:
  packet_writer& number(std::uint64_t value);
  packet_writer& blob(std::span<const std::byte> bytes);
  packet_writer& text(std::string_view text) { return blob(std::as_bytes(std::span{text})); }

  std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

/// Reads what a packet_writer wrote. Every read is checked; a packet that ends too early throws
/// std::runtime_error.
class packet_reader {
 public:
  explicit packet_reader(std::span<const std::byte> bytes) noexcept : left_{bytes} {}

  std::uint64_t number();
  std::span<const std::byte> blob();
  std::string text();
  std::span<const std::byte> rest() const noexcept { return left_; }

 private:
  std::span<const std::byte> take(std::uint64_t size);

  std::span<const std::byte> left_;
};

}  // namespace cadre::process
