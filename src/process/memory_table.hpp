// SPDX-License-Identifier: MIT
// memory_table: the shared memory that a worker has to do with, and the socket through which it comes,
// with what the worker is told of modules.
#pragma once

#include <cadre/detail/codec_parts.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "ipc/packet_socket.hpp"
#include "process/frame.hpp"
#include "process/module_table.hpp"
#include "process/packet.hpp"
#include "process/shared_memory.hpp"

namespace cadre::process {

inline std::system_error no_descriptor_left() {
  return {EMFILE, std::system_category(),
          "process_pool: the shared memory of an argument could not be received, since the worker "
          "had no descriptor left; raise ulimit -n or worker.open_files"};
}

/// The shared memory that this process was told of, and that an answer refers to.
class memory_table final : public detail::attachments {
 public:
  explicit memory_table(ipc::packet_socket packets) : packets_{std::move(packets)} {}

  /// From the parent, which sent them before it announced them: what is not there will never come.
  /// Throws stream_error.
  void receive(std::uint64_t count, module_resolver& modules) {
    for (; count != 0; --count) receive_one(modules);
  }
  void forget(std::uint64_t number) {
    received_.erase(number);
    open_.erase(number);
  }

  void end_call() { arguments_.clear(); }
  std::shared_ptr<const void> argument(std::uint64_t number) {
    const auto received = received_.find(number / 2);
    if (received != received_.end()) {  // mapped late: it may fail
      if (!received->second.handle) throw no_descriptor_left();
      auto taken = received_.extract(received);
      open_.emplace(number / 2, detail::shared_memory::open(std::move(taken.mapped())));
    }
    const auto found = open_.find(number / 2);
    if (found == open_.end()) return nullptr;
    arguments_.push_back(found->second);
    return found->second;
  }

  std::optional<std::uint64_t> attach(std::shared_ptr<const void> what) override {
    auto memory = std::static_pointer_cast<const detail::shared_memory>(std::move(what));
    if (std::find(arguments_.begin(), arguments_.end(), memory) != arguments_.end()) {
      return memory->parents_number() * 2;
    }
    const auto known = std::find(results_.begin(), results_.end(), memory);
    const auto index = static_cast<std::uint64_t>(known - results_.begin());
    if (known == results_.end()) {
      if (results_.size() == most_memories) return std::nullopt;
      results_.push_back(std::move(memory));
    }
    return index * 2 + 1;
  }
  void drop_results() { results_.clear(); }
  std::size_t result_count() const noexcept { return results_.size(); }
  void send_results() {
    for (const detail::memory_ptr& memory : results_) {
      memory->send(packets_, 0, ipc::packet_socket::mode::wait);
    }
    results_.clear();
  }

 private:
  void receive_one(module_resolver& modules) {
    std::array<std::byte, sizeof(packet_head) + most_inline_modules> buffer;
    auto packet = packets_.receive(buffer, ipc::packet_socket::mode::dont_wait);
    received_memory got;
    if (packet.result != ipc::packet_socket::outcome::done || packet.size < sizeof got.what) {
      throw stream_error{"its pool announced a packet and did not send it"};
    }
    std::memcpy(&got.what, buffer.data(), sizeof got.what);
    got.handle = std::move(packet.descriptors[0]);
    if (got.what.kind == packet_kind::memory && (got.handle || packet.cut_off)) {
      received_.emplace(got.what.number, std::move(got));
    } else if (got.what.kind == packet_kind::modules) {
      learn(got, std::span{buffer}.first(packet.size).subspan(sizeof got.what), modules);
    } else {
      throw stream_error{"its pool sent a packet that cannot be"};
    }
  }

  static void learn(const received_memory& list, std::span<const std::byte> bytes,
                    module_resolver& modules) {
    try {
      auto index = static_cast<std::uint32_t>(list.what.number);
      for (module_description& each : read_modules(list.what, bytes, list.handle)) {
        modules.learn(index++, std::move(each));
      }
    } catch (const std::exception& e) {
      throw stream_error{std::string{"it did not understand what its pool said of libraries: "} +
                         e.what()};
    }
  }

  ipc::packet_socket packets_;
  std::map<std::uint64_t, received_memory> received_;
  std::map<std::uint64_t, detail::memory_ptr> open_;
  std::vector<detail::memory_ptr> arguments_;  // of the call that runs
  std::vector<detail::memory_ptr> results_;    // new to the parent
};

}  // namespace cadre::process
