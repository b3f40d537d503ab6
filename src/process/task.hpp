// SPDX-License-Identifier: MIT
// task: a call on its way through a process pool, encoded. All of it is guarded by the pool's lock, but
// for what the one who encodes or finishes it does.
//
//   queued     in the task_queue
//   sent       in the in-flight list of a worker
//   over       taken out of both by whoever finishes, fails or cancels it; that deletes it
#pragma once

#include <cadre/codec.hpp>
#include <cadre/detail/block.hpp>
#include <cadre/detail/portable_call.hpp>
#include <cadre/executor.hpp>

#include <chrono>
#include <cstddef>
#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/large_parts.hpp"
#include "process/frame.hpp"
#include "process/shared_memory.hpp"

namespace cadre::process {

class remote_worker;

/// Why a worker is made to end while a call runs.
enum class stop_reason : std::uint8_t { none, timeout, request };

class task {
 public:
  /// Takes over a reference to `call`. `frame`: a request_header and the encoded call, with `parts`
  /// behind it; large ones are moved from.
  /// `weight`: see there.
  static task* make(detail::state_base& call, const submit_options& options, encoder& frame,
                    detail::large_parts& parts, std::uint32_t weight) {
    const bool large = frame.size() > largest_inline || !parts.empty();
    const std::size_t size = sizeof(task) + (large ? 0 : frame.size());
    void* memory = detail::allocate_block(size);
    return ::new (memory) task{call, options, frame, parts, weight, size, large};
  }
  void destroy() noexcept {
    const std::size_t size = block_size_;
    this->~task();
    detail::free_block(this, size);
  }

  /// As destroy(), unless that would destroy the call: with it may go values and exceptions of the user's.
  /// False then.
  bool destroy_but_last() noexcept {
    if (!call_->release_shared()) return false;
    call_ = nullptr;
    destroy();
    return true;
  }

  detail::state_base& call() const noexcept { return *call_; }
  request_header& header() noexcept { return *reinterpret_cast<request_header*>(data()); }

  /// What is to be sent, one piece after the other: the frame, and what is behind it.
  std::size_t pieces() const noexcept { return large_ ? large_->pieces.size() : 1; }
  std::span<const std::byte> piece(std::size_t index) noexcept {
    return large_ ? large_->pieces[index] : std::span<const std::byte>{data(), frame_size_};
  }

  /// Of all pieces.
  std::size_t size() noexcept {
    std::size_t total = 0;
    for (std::size_t i = 0; i != pieces(); ++i) total += piece(i).size();
    return total;
  }

  // The task_queue's.
  task* next = nullptr;
  task* previous = nullptr;
  const int priority;
  bool queued = false;

  std::vector<detail::memory_ptr> memories;  // that it refers to

  // While it is sent.
  remote_worker* worker = nullptr;
  std::uint64_t number = 0;                                        // of the worker's requests
  std::chrono::steady_clock::time_point deadline = detail::never;  // of the next step to end it
  // By then the worker should have begun it, or does not work at all.
  std::chrono::steady_clock::time_point begin_limit = detail::never;
  stop_reason stopping = stop_reason::none;
  unsigned stop_steps = 0;  // taken: request_stop, SIGTERM, SIGKILL
  bool past = false;        // its worker said that it was at a later call; it is believed once

  // What it may do.
  const std::optional<std::chrono::nanoseconds> timeout;
  const std::chrono::nanoseconds grace;
  unsigned retries;
  unsigned losses = 0;  // what workers cost it that died before they had begun it: see deaths.cpp
  // A call with a time limit that has lost a worker goes to others until that limit ends in the second one.
  std::chrono::steady_clock::time_point again_until = detail::never;

  // Its times count for so many calls; 0: they are not taken.
  const std::uint32_t weight;
  const std::chrono::steady_clock::time_point submitted =
      weight != 0 ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point{};

 private:
  // Up to here a frame lies behind its task; a larger one stays where it was encoded.
  static constexpr std::size_t largest_inline = 4096;

  /// A large frame, in the memory in which it was encoded.
  struct large_frame {
    large_frame(encoder&& f, detail::large_parts&& p) : frame{std::move(f)}, parts{std::move(p)} {
      pieces.push_back(frame.bytes());
      if (parts.empty()) return;
      pieces.push_back(detail::large_parts::padding(frame.size() - sizeof(request_header)));
      parts.for_each_piece([this](std::span<const std::byte> piece) { pieces.push_back(piece); });
    }

    encoder frame;
    detail::large_parts parts;
    std::vector<std::span<const std::byte>> pieces;
  };

  task(detail::state_base& call, const submit_options& options, encoder& frame,
       detail::large_parts& parts, std::uint32_t counts_for, std::size_t block, bool large)
      : priority{options.priority},
        timeout{options.timeout},
        grace{options.grace},
        retries{options.retries},
        weight{counts_for},
        call_{&call},
        block_size_{block},
        frame_size_{frame.size()} {
    if (large) {
      large_.emplace(std::exchange(frame, encoder{}), std::move(parts));
    } else {
      std::memcpy(data(), frame.bytes().data(), frame.size());
    }
  }
  ~task() {
    if (call_ != nullptr) call_->release();
  }

  std::byte* data() noexcept {
    if (!large_) return reinterpret_cast<std::byte*>(this + 1);
    return const_cast<std::byte*>(large_->frame.bytes().data());
  }

  detail::state_base* call_;
  const std::size_t block_size_;
  const std::size_t frame_size_;
  std::optional<large_frame> large_;
};

/// Tasks by priority; those of equal priority in the order of their arrival.
class task_queue {
 public:
  bool empty() const noexcept { return size_ == 0; }
  std::size_t size() const noexcept { return size_; }

  /// Throws std::bad_alloc, and then nothing happened.
  void push(task& t) { lists_[t.priority].push_back(t), ++size_; }
  /// For one that was taken out before: ahead of its equals.
  void push_again(task& t) noexcept { list_of(t).push_front(t), ++size_; }

  template <typename Function>
  void for_each(Function function) {
    for (auto& [priority, l] : lists_) {
      for (task* t = l.first; t != nullptr; t = t->next) function(*t);
    }
  }

  /// Requires !empty().
  task& front() noexcept {
    auto first = lists_.begin();
    while (first->second.first == nullptr) ++first;
    return *first->second.first;
  }
  /// Requires !empty().
  task& pop() noexcept {
    task& t = front();
    remove(t);
    return t;
  }
  void remove(task& t) noexcept {
    list_of(t).unlink(t);
    --size_;
  }

 private:
  struct chain {
    task* first = nullptr;
    task* last = nullptr;

    void push_back(task& t) noexcept {
      t.queued = true;
      t.previous = std::exchange(last, &t);
      t.next = nullptr;
      (t.previous != nullptr ? t.previous->next : first) = &t;
    }
    void push_front(task& t) noexcept {
      t.queued = true;
      t.next = std::exchange(first, &t);
      t.previous = nullptr;
      (t.next != nullptr ? t.next->previous : last) = &t;
    }
    void unlink(task& t) noexcept {
      t.queued = false;
      (t.previous != nullptr ? t.previous->next : first) = t.next;
      (t.next != nullptr ? t.next->previous : last) = t.previous;
    }
  };

  /// Of one that was pushed before: its list stays.
  chain& list_of(const task& t) noexcept { return lists_.find(t.priority)->second; }

  std::map<int, chain, std::greater<>> lists_;  // an empty one stays: priorities are few
  std::size_t size_ = 0;
};

}  // namespace cadre::process
