// SPDX-License-Identifier: MIT
// memory_table: the shared memory that a worker has to do with.
#pragma once

#include <cadre/detail/codec_parts.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include "ipc/packet_socket.hpp"
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
  void receive(std::uint64_t count) {
    for (; count != 0; --count) {
      received_memory memory;
      auto packet = packets_.receive(std::as_writable_bytes(std::span{&memory.what, 1}),
                                     ipc::packet_socket::mode::dont_wait);
      if (packet.result != ipc::packet_socket::outcome::done ||
          (packet.descriptor_count != 1 && !packet.cut_off)) {
        throw std::runtime_error{"worker: the channel is damaged"};
      }
      memory.handle = std::move(packet.descriptors[0]);
      received_.emplace(memory.what.number, std::move(memory));
    }
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
  ipc::packet_socket packets_;
  std::map<std::uint64_t, received_memory> received_;
  std::map<std::uint64_t, detail::memory_ptr> open_;
  std::vector<detail::memory_ptr> arguments_;  // of the call that runs
  std::vector<detail::memory_ptr> results_;    // new to the parent
};

}  // namespace cadre::process
