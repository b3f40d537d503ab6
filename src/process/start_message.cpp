// SPDX-License-Identifier: MIT
#include "process/start_message.hpp"

#include <cadre/codec.hpp>

#include <cerrno>
#include <iterator>
#include <system_error>

namespace cadre::process {
namespace {

// More would carry larger arguments to a worker's entry; the kernel refuses what exceeds the socket's
// buffer (208 KiB by default).
constexpr std::size_t max_size = std::size_t{64} << 10;

}  // namespace

bool send(ipc::packet_socket& to, const start_message& message, std::span<const int> descriptors) {
  encoder out;
  encode(out, message);
  if (out.size() > max_size) {
    throw std::system_error{EMSGSIZE, std::generic_category(),
                            "the settings and the argument of a worker are too long"};
  }
  return to.send(out.bytes(), descriptors) == ipc::packet_socket::outcome::done;
}

std::optional<received_message> receive(ipc::packet_socket& from) {
  std::vector<std::byte> buffer(max_size);
  ipc::packet_socket::packet packet = from.receive(buffer);
  if (packet.result != ipc::packet_socket::outcome::done) return std::nullopt;
  decoder in{std::span{buffer}.first(packet.size)};
  received_message received{decode<start_message>(in), {}, packet.cut_off};
  received.descriptors.assign(std::make_move_iterator(packet.descriptors.begin()),
                              std::make_move_iterator(packet.descriptors.begin()) +
                                  static_cast<std::ptrdiff_t>(packet.descriptor_count));
  return received;
}

}  // namespace cadre::process
