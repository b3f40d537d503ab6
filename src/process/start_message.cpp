// SPDX-License-Identifier: MIT
#include "process/start_message.hpp"

#include <cadre/codec.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

namespace cadre::process {
namespace {

// More would carry larger arguments to a worker's entry; the kernel refuses what exceeds the socket's
// buffer (208 KiB by default).
constexpr std::size_t max_size = std::size_t{64} << 10;

}  // namespace

start_failed failure_of(std::uint64_t id, const std::exception& error) {
  // Of somebody's exception there may be any number of words, and a packet takes 64 KiB.
  constexpr std::size_t most_words = std::size_t{8} << 10;
  const std::string_view why{error.what()};
  start_failed failed{id, std::string{why.substr(0, most_words)},
                      dynamic_cast<const std::bad_alloc*>(&error) != nullptr};
  if (const auto* system = dynamic_cast<const std::system_error*>(&error)) {
    constexpr std::array passing{EAGAIN, ENOMEM, EMFILE, ENFILE, ENOBUFS};
    failed.passing =
        std::find(passing.begin(), passing.end(), system->code().value()) != passing.end();
  }
  return failed;
}

std::system_error fork_failed(int error) {
  return {error, std::generic_category(),
          error == EAGAIN ? "fork, with as many processes as there may be (raise ulimit -u, or "
                            "pids.max of the cgroup)"
                          : "fork"};
}

std::vector<std::byte> packet_of(const start_message& message) {
  encoder out;
  encode(out, message);
  if (out.size() > max_size) {
    throw std::system_error{EMSGSIZE, std::generic_category(),
                            "the name of the pool, worker.environment, worker.unset_environment, "
                            "the arguments of preload "
                            "and the paths of the sandbox take more than 64 KiB together"};
  }
  return {out.bytes().begin(), out.bytes().end()};
}

bool send(ipc::packet_socket& to, const start_message& message, std::span<const int> descriptors) {
  return to.send(packet_of(message), descriptors) == ipc::packet_socket::outcome::done;
}

std::optional<received_message> receive(ipc::packet_socket& from) {
  // Not set to zero: a zygote shares its pages with its workers, and each first write costs a fault.
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(max_size);
  const std::span bytes{buffer.get(), max_size};
  ipc::packet_socket::packet packet = from.receive(bytes);
  if (packet.result != ipc::packet_socket::outcome::done) return std::nullopt;
  decoder in{bytes.first(packet.size)};
  received_message received{decode<start_message>(in), {}, packet.cut_off};
  received.descriptors.assign(std::make_move_iterator(packet.descriptors.begin()),
                              std::make_move_iterator(packet.descriptors.begin()) +
                                  static_cast<std::ptrdiff_t>(packet.descriptor_count));
  return received;
}

}  // namespace cadre::process
