// SPDX-License-Identifier: MIT
#include "ipc/packet_socket.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace cadre::ipc {
namespace {

using outcome = packet_socket::outcome;

// Room for an even number of descriptors has no padding into which one more would fit.
struct control_buffer {
  alignas(cmsghdr)
      std::array<std::byte, CMSG_SPACE(packet_socket::max_descriptors * sizeof(int))> bytes{};
};

constexpr const char* not_moved =
    "cadre: cannot give a socket a number above those of the standard streams";

int flags_of(packet_socket::mode how) {
  return how == packet_socket::mode::dont_wait ? MSG_DONTWAIT : 0;
}

/// What a failed call means, if it is no error.
outcome outcome_of_errno(const char* what) {
  if (errno == EAGAIN) return outcome::would_block;
  if (errno == EPIPE || errno == ECONNRESET) return outcome::closed;
  throw_errno(what);
}

/// Takes the descriptors out of the control data, all of them: they are open in this process.
void adopt(msghdr& message, packet_socket::packet& into) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count && into.descriptor_count < into.descriptors.size(); ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      into.descriptors[into.descriptor_count++] = descriptor{fd};
    }
  }
}

}  // namespace

std::pair<packet_socket, packet_socket> packet_socket::pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw_errno("cadre: cannot make a socket pair for a worker");
  }
  descriptor second{ends[1]};
  descriptor first = own(ends[0], not_moved);
  return {packet_socket{std::move(first)}, packet_socket{own(second.release(), not_moved)}};
}

outcome packet_socket::send(std::span<const std::byte> bytes, std::span<const int> descriptors,
                            mode how) {
  if (bytes.empty()) throw std::invalid_argument{"packet_socket: a packet must have a byte"};
  if (descriptors.size() > max_descriptors) {
    throw std::invalid_argument{"packet_socket: at most 8 descriptors a packet: send several"};
  }
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  control_buffer control;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    message.msg_control = control.bytes.data();
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size_bytes());
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL | flags_of(how));
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? outcome_of_errno("cadre: cannot send a packet to another process (sendmsg)")
                  : outcome::done;
}

packet_socket::packet packet_socket::receive(std::span<std::byte> buffer, mode how) {
  iovec part{buffer.data(), buffer.size()};
  control_buffer control;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes.data();
  message.msg_controllen = control.bytes.size();
  ssize_t received = 0;
  do {
    received = ::recvmsg(fd_.get(), &message, MSG_CMSG_CLOEXEC | flags_of(how));
  } while (received < 0 && errno == EINTR);
  packet result;
  if (received < 0) {
    result.result = outcome_of_errno("cadre: cannot receive a packet (recvmsg)");
    return result;
  }
  adopt(message, result);
  result.result = received == 0 ? outcome::closed : outcome::done;
  result.size = static_cast<std::size_t>(received);
  result.cut_off = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  return result;
}

}  // namespace cadre::ipc
