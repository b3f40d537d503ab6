// SPDX-License-Identifier: MIT
// zygote_link: a zygote, as the program sees it: its process, and our end of its socket.
//
// Threads    send() and forget() any; all else is the reaper's, but for what is said at the fields.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "ipc/packet_socket.hpp"
#include "process/child.hpp"
#include "process/start_message.hpp"
#include "sync/mutex.hpp"

namespace cadre::process {

class zygote_link {
 public:
  /// What a zygote cannot change, so that workers of another kind need another one.
  struct kind {
    std::string identity;
    bool keeps_descendants = false;
    bool leaves_session = false;
    std::string preload;  // its argument; empty: none

    friend bool operator==(const kind&, const kind&) = default;
  };

  /// Executes this program again. It will say hello in some milliseconds, when its static objects are
  /// initialised. Throws what execute_again() throws. Cost: 1 ms.
  static std::shared_ptr<zygote_link> boot(kind what, std::uint64_t number);

  zygote_link(kind what, std::uint64_t its_number, process_handle child, ipc::packet_socket ours)
      : of{std::move(what)},
        number{its_number},
        process{std::move(child)},
        socket{std::move(ours)} {}

  /// Never blocks: what the socket does not take now waits for flush(). The descriptors must stay open
  /// until then, or forget(). What is sent before its hello lies in the socket until it can read; one of
  /// another version answers that it is one, whatever it makes of it. Throws std::system_error.
  void send(std::uint64_t id, const start_message& message, std::span<const int> fds = {});
  /// Drops what was not sent of that worker.
  void forget(std::uint64_t id) noexcept;
  /// True if something is left.
  bool flush() noexcept;

  bool is_greeted() const noexcept;
  /// It may run its preload, which takes as long as it takes.
  bool preloads() const noexcept { return is_greeted() && !of.preload.empty() && !has_worked; }
  /// What it said first; null if that cannot be read. False if it is no hello of this version.
  bool greet(const start_message* first) noexcept;
  /// Why a worker was not started by it, which has ended like that.
  start_failed why_lost(std::uint64_t id, const child_end& how) const;

  const kind of;
  const std::uint64_t number;  // never used again by this process
  const process_handle process;
  ipc::packet_socket socket;

  // Under the starter's lock.
  bool accepts = true;  // new workers
  unsigned unanswered_kills = 0;
  unsigned silent_ticks = 0;  // since it said something, while it owed us an answer

  // The reaper's.
  bool was_late = false;    // it did not say hello in time
  bool has_worked = false;  // it has answered a request, so its preload is over

 private:
  struct unsent {
    std::uint64_t id;
    std::vector<std::byte> packet;
    std::vector<int> fds;
  };

  bool try_send(const unsent& what);

  mutable sync::mutex mutex_;  // guards what follows; nothing blocks while it is held
  enum class state : std::uint8_t { booting, greeted, of_another_version } state_ = state::booting;
  std::deque<unsent> unsent_;
};

}  // namespace cadre::process
