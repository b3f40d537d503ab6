// SPDX-License-Identifier: MIT
#include "process/packet.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace cadre::process {
namespace {

/// The ancillary data of one packet, aligned as cmsg(3) wants it.
union control_data {
  cmsghdr alignment;
  std::array<char, CMSG_SPACE(sizeof(int) * max_packet_fds)> bytes;
};

std::vector<unique_fd> take_fds(msghdr& header) {
  std::vector<unique_fd> fds;
  fds.reserve(max_packet_fds);
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      fds.emplace_back(fd);
    }
  }
  return fds;
}

}  // namespace

socket_pair make_socket_pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw std::system_error{errno, std::generic_category(), "socketpair"};
  }
  unique_fd second{ends[1]};
  unique_fd first = own_fd(ends[0], "fcntl");
  return {std::move(first), own_fd(second.release(), "fcntl")};
}

bool send_packet(int socket, std::span<const std::byte> bytes, std::span<const int> fds) {
  if (bytes.size() > max_packet || fds.size() > max_packet_fds) {
    throw std::system_error{EMSGSIZE, std::generic_category(), "starting a worker"};
  }
  iovec data{const_cast<std::byte*>(bytes.data()), bytes.size()};
  control_data control{};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control.bytes.data();
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(part), fds.data(), fds.size_bytes());
  }
  while (::sendmsg(socket, &header, MSG_NOSIGNAL) < 0) {
    if (errno == EPIPE || errno == ECONNRESET) return false;
    if (errno != EINTR) throw std::system_error{errno, std::generic_category(), "sendmsg"};
  }
  return true;
}

std::optional<packet> receive_packet(int socket) {
  packet received;
  ssize_t size = 0;
  do {
    size = ::recv(socket, nullptr, 0, MSG_PEEK | MSG_TRUNC);
  } while (size < 0 && errno == EINTR);
  if (size > 0) received.bytes.resize(static_cast<std::size_t>(size));

  iovec data{received.bytes.data(), received.bytes.size()};
  control_data control{};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = control.bytes.data();
  header.msg_controllen = control.bytes.size();
  do {
    size = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size == 0 || (size < 0 && errno == ECONNRESET)) return std::nullopt;
  if (size < 0) throw std::system_error{errno, std::generic_category(), "recvmsg"};
  received.fds = take_fds(header);
  received.fds_lost = (header.msg_flags & MSG_CTRUNC) != 0;
  return received;
}

packet_writer& packet_writer::number(std::uint64_t value) {
  const auto bytes = std::as_bytes(std::span{&value, 1});
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  return *this;
}

packet_writer& packet_writer::blob(std::span<const std::byte> bytes) {
  number(bytes.size());
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  return *this;
}

std::span<const std::byte> packet_reader::take(std::uint64_t size) {
  if (size > left_.size()) throw std::runtime_error{"a message about starting workers is cut off"};
  const auto taken = left_.first(static_cast<std::size_t>(size));
  left_ = left_.subspan(taken.size());
  return taken;
}

std::uint64_t packet_reader::number() {
  std::uint64_t value = 0;
  std::memcpy(&value, take(sizeof value).data(), sizeof value);
  return value;
}

std::span<const std::byte> packet_reader::blob() { return take(number()); }

std::string packet_reader::text() {
  const auto bytes = blob();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace cadre::process
