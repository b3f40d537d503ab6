// SPDX-License-Identifier: MIT
// request_writer: the frames that a pool sends to one worker, as far as there is room for them, one
// whole frame after the other.
//
//     writer.control(header, body);     // at any time; goes before a call that has not begun
//     writer.begin(t);                  // requires !writer.sending()
//     while (!writer.idle() && writer.send_more(channel)) ...
//
// A frame gets its check, and so its place in the stream, when it is certain which ones go before it: a
// call when its first bytes are written, a control frame when it is queued. These two agree: nothing
// is queued between the parts of a call, and no call begins while something is queued.
//
// Threads    One at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "process/frame.hpp"

namespace cadre::process {

/// `Task`: a task, but for model tests.
template <typename Task>
class request_writer {
 public:
  // Of long messages, so that the other side copies while this one does.
  static constexpr std::size_t publish_every = std::size_t{32} << 10;

  explicit request_writer(std::uint64_t secret) noexcept : checks_{secret} {}

  /// The call whose frame is under way, or is to be.
  Task* sending() const noexcept { return sending_; }
  bool idle() const noexcept { return sending_ == nullptr && control_.empty(); }

  void control(request_header header, std::span<const std::byte> body) {
    header.size = body.size();
    // Within a call: that has had its check.
    header.check = checks_.next();
    const auto* head = reinterpret_cast<const std::byte*>(&header);
    control_.reserve(control_.size() + sizeof header + body.size());
    control_.insert(control_.end(), head, head + sizeof header);
    control_.insert(control_.end(), body.begin(), body.end());
    checks_.advance();
  }

  void begin(Task& t) noexcept {
    sending_ = &t;
    piece_ = 0;
    sent_ = 0;
  }

  /// Writes what there is room for. False if that is nothing, or there is nothing to send.
  template <typename Channel>
  bool send_more(Channel& channel) {
    // Nothing may come between the parts of a frame.
    bool any = is_within_task() && send_task(channel);
    if (!is_within_task() && !control_.empty()) {
      const std::size_t wrote = channel.write_some(std::span{control_}.subspan(control_sent_));
      any = any || wrote != 0;
      control_sent_ += wrote;
      if (control_sent_ == control_.size()) {
        control_.clear();
        control_sent_ = 0;
      }
    }
    if (control_.empty() && sending_ != nullptr && !is_within_task()) {
      any = send_task(channel) || any;
    }
    channel.publish();
    return any;
  }

  /// The worker is gone.
  void forget_all() noexcept {
    sending_ = nullptr;
    control_.clear();
    control_sent_ = 0;
  }

 private:
  bool is_within_task() const noexcept {
    return sending_ != nullptr && (sent_ != 0 || piece_ != 0);
  }

  /// Sends as much of sending_ as there is room for. False if there was none.
  template <typename Channel>
  bool send_task(Channel& channel) {
    bool any = false;
    while (piece_ != sending_->pieces()) {
      const bool begins = !is_within_task();
      if (begins) sending_->header().check = checks_.next();
      const auto rest = sending_->piece(piece_).subspan(sent_);
      const std::size_t wrote =
          channel.write_some(rest.first(std::min(rest.size(), publish_every)));
      if (wrote == 0 && !rest.empty()) return any;
      if (begins) checks_.advance();
      channel.publish();
      any = true;
      sent_ += wrote;
      if (wrote == rest.size()) {
        ++piece_;
        sent_ = 0;
      }
    }
    sending_ = nullptr;
    return any;
  }

  frame_checks checks_;
  std::vector<std::byte> control_;  // to be sent before any call that has not begun
  std::size_t control_sent_ = 0;
  Task* sending_ = nullptr;
  std::size_t piece_ = 0;  // of sending_, that is being sent
  std::size_t sent_ = 0;   // bytes of it
};

}  // namespace cadre::process
