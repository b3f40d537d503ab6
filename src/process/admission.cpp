// SPDX-License-Identifier: MIT
// How many calls, and how many bytes of arguments, a process pool lets in.
#include <cadre/errors.hpp>

#include <string>

#include "executor/timers.hpp"
#include "process/process_pool.hpp"

namespace cadre {

void process_pool_executor::impl::reserve_room(const detail::state_base& call) {
  if (bytes_.full()) await_bytes(call);
  if (!room_ || room_->try_enter()) return;
  if (options_.when_full == when_full::reject) {
    throw queue_full{"process_pool: " + std::to_string(*options_.max_pending) +
                     " calls are pending, as many as max_pending allows; the call was not "
                     "accepted: try again later, or let submit block"};
  }
  if (detail::on_timer_thread()) return room_->enter_anyway();
  const detail::blocking_scope scope{nullptr, 0, false};
  if (!room_->enter(call.limit())) refuse();
}

/// Until the arguments of other calls take less memory, or this one is over. What is submitted meanwhile counts
/// as soon as it is encoded.
void process_pool_executor::impl::await_bytes(const detail::state_base& call) {
  if (options_.when_full == when_full::reject) {
    throw queue_full{"process_pool: the arguments of the calls in it take as much as the " +
                     std::to_string(*options_.max_pending_bytes) +
                     " bytes that max_pending_bytes allows; the call was not accepted: try again "
                     "later, or let submit block"};
  }
  if (detail::on_timer_thread()) return;
  const detail::blocking_scope scope{nullptr, 0, false};
  lock held{mutex_};
  while (bytes_.full() && !closed() && bytes_.wait(held, call.limit())) continue;
}

/// The room of that many calls, with that many bytes of arguments. Under the lock, before their futures are
/// told: whoever sees a result may submit another call.
void process_pool_executor::impl::give_back(std::size_t calls, std::size_t bytes) noexcept {
  bytes_.remove(bytes);
  for (; room_ && calls != 0; --calls) room_->leave();
}

}  // namespace cadre
