// SPDX-License-Identifier: MIT
#include "process/packet.hpp"

#include <cadre/codec.hpp>

#include <array>
#include <cstring>
#include <stdexcept>

#include "ipc/region.hpp"

namespace cadre::process {

using ipc::region;

ipc::packet_socket::outcome send_modules(ipc::packet_socket& to, std::uint32_t first,
                                         const std::vector<module_description>& all) {
  encoder list;
  encode(list, all);
  const packet_head what{.number = first, .size = list.size(), .kind = packet_kind::modules};
  constexpr auto now = ipc::packet_socket::mode::dont_wait;
  if (list.size() <= most_inline_modules) {
    encoder packet;
    packet.write(&what, sizeof what);
    packet.write(list.bytes().data(), list.size());
    return to.send(packet.bytes(), {}, now);
  }
  const auto made = region::create(list.size(), region::access::mine);
  std::memcpy(made.memory.bytes().data(), list.bytes().data(), list.size());
  return to.send(std::as_bytes(std::span{&what, 1}), std::array{made.handle.get()}, now);
}

std::vector<module_description> read_modules(const packet_head& what,
                                             std::span<const std::byte> bytes,
                                             const ipc::descriptor& handle) {
  region apart;
  if (what.size > most_inline_modules) {
    if (!handle) {
      throw std::runtime_error{
          "it has no descriptor left to be told which libraries there are; raise ulimit -n or "
          "worker.open_files"};
    }
    apart = region::open(handle, static_cast<std::size_t>(what.size), region::access::mine);
    bytes = apart.bytes();
  }
  decoder in{bytes};
  auto all = decode<std::vector<module_description>>(in);
  in.finish();
  return all;
}

}  // namespace cadre::process
