// SPDX-License-Identifier: MIT
#include <cadre/detail/queue_core.hpp>
#include <cadre/errors.hpp>

#include <algorithm>
#include <mutex>
#include <optional>
#include <string>

#include "future/waiter.hpp"
#include "queue/waiter_list.hpp"
#include "sync/futex.hpp"
#include "sync/mutex.hpp"
#include "sync/spin.hpp"

namespace cadre::detail {

// Two ends with a lock each, so that who puts and who gets do not share a line per element. A first-in
// first-out queue has two containers: at the back they put, at the front they get; whoever finds the
// front empty swaps the two. Other orders have one container, at the back.
//
//   field                   written under     read
//   elements at the back    back_.lock        under it
//   elements at the front   front_.lock       under it
//   pushed_, getters_       back_.lock        pushed_: by any thread
//   popped_, putters_       front_.lock       popped_: by any thread
//   done_, joiners_         done_lock_        done_: by any thread
//   closed_, max_size_      all locks         under any of them, or for a guess
//
// Locks are taken in the order front, back, done. Whoever waits is listed under the lock of those who
// end the wait: they look at the list when they have made their change, so no wake-up is lost. They
// take a waiter from the list and signal it under the lock, and wake it after that, by its address
// alone; the waiter takes the lock once more before it leaves.
class queue_core::impl {
 public:
  explicit impl(std::size_t max_size) noexcept : max_size_{max_size} {}

  outcome put(queue_core& queue, const void* slot, time_point deadline,
              const std::stop_token& stop) {
    std::unique_lock lock{back_lock_};
    if (!try_reserve() && !now(closed_)) {
      if (!wait_for_room(lock, deadline, stop)) return outcome::in_vain;
    }
    if (now(closed_)) return outcome::shut_down;
    try {
      queue.push_slot(slot);
    } catch (...) {
      lock.unlock();
      pass_room_on();
      throw;
    }
    --room_;
    set(pushed_, now(pushed_) + 1);
    getters_.wake_one(lock);
    return outcome::done;
  }

  outcome get(queue_core& queue, void* slot, time_point deadline, const std::stop_token& stop) {
    std::unique_lock lock{front_lock_};
    if (!queue.pop_front_slot(slot)) {
      const outcome result = get_from_back(queue, slot, lock, deadline, stop);
      if (result != outcome::done) return result;
    }
    set(popped_, now(popped_) + 1);
    putters_.wake_one(lock);
    return outcome::done;
  }

  void count_done() {
    const std::lock_guard lock{done_lock_};
    if (now(done_) == now(popped_)) {
      throw invalid_state_error{
          "queue: task_done() was called more often than get(); call it once for each element"};
    }
    set(done_, now(done_) + 1);
    if (all_done()) joiners_.wake_all();
  }

  outcome join(time_point deadline, const std::stop_token& stop);
  void close(queue_core& queue, void* garbage) noexcept;
  void wait_until_left() noexcept;
  void change_max_size(std::size_t max_size) noexcept;

  std::size_t max_size() const noexcept { return now(max_size_); }
  std::size_t size() const noexcept {
    // First: what was pushed since then is no harm. And what was popped had been pushed, which now()
    // lets be seen.
    const std::size_t popped = now(popped_);
    return now(pushed_) - popped;
  }
  std::size_t unfinished() const noexcept {
    const std::size_t done = now(done_);  // first, as in size()
    return now(pushed_) - done;
  }
  bool closed() const noexcept { return now(closed_); }

 private:
  using lock_type = std::unique_lock<sync::mutex>;
  using condition = bool (impl::*)() const noexcept;

  /// A thread that is about to wait. The destructor waits for the last of them.
  class guest {
   public:
    explicit guest(sync::atomic<std::uint32_t>& guests) noexcept : guests_{guests} {
      // relaxed: the destructor has not begun, or sees it under the lock that the caller holds.
      guests_.fetch_add(one_guest, std::memory_order_relaxed);
    }
    ~guest() {
      const auto* word = &guests_;
      // release: pairs with the acquire in wait_until_left(). The last access to the queue.
      if (guests_.fetch_sub(one_guest, std::memory_order_release) == (one_guest | leaving)) {
        sync::futex_wake(word);
      }
    }
    guest(const guest&) = delete;
    guest& operator=(const guest&) = delete;

   private:
    sync::atomic<std::uint32_t>& guests_;
  };

  template <typename T>
  static T now(const sync::atomic<T>& field) noexcept {
    // acquire: pairs with set(). Where a lock orders, relaxed would do; whoever guesses without one
    // must see that each element was pushed before it was popped, and popped before it was done.
    return field.load(std::memory_order_acquire);
  }
  template <typename T>
  static void set(sync::atomic<T>& field, T value) noexcept {
    field.store(value, std::memory_order_release);  // release: pairs with now()
  }

  bool has_room() const noexcept { return now(max_size_) == 0 || size() < now(max_size_); }
  bool may_put() const noexcept { return has_room() || now(closed_); }
  bool may_get() const noexcept { return size() != 0 || now(closed_); }
  bool all_done() const noexcept { return now(done_) == now(pushed_) || is_leaving(); }
  bool is_leaving() const noexcept { return (now(guests_) & leaving) != 0; }

  /// Under back_lock_: true if there is room, as far as its holder knew or can find out.
  bool try_reserve() noexcept {
    if (room_ != 0) return true;
    const std::size_t max = now(max_size_);
    const std::size_t used = size();
    room_ = max == 0 ? SIZE_MAX : max > used ? max - used : 0;
    return room_ != 0;
  }

  bool wait_for_room(lock_type& back, time_point deadline, const std::stop_token& stop);
  outcome get_from_back(queue_core& queue, void* slot, lock_type& front, time_point deadline,
                        const std::stop_token& stop);
  void pass_room_on() noexcept {
    lock_type front{front_lock_};
    putters_.wake_one(front);
  }

  static bool is_over(time_point deadline, const std::stop_token& stop) noexcept {
    return stop.stop_requested() ||
           (deadline != never && deadline <= std::chrono::steady_clock::now());
  }
  static void pause(std::size_t turns) noexcept {
    for (; turns != 0; --turns) sync::pause();
  }
  void spin(condition ready) const noexcept;
  /// Lists the thread, unlocks, and sleeps until it is woken, the deadline, or stop is requested.
  static void sleep(lock_type& lock, waiter_list& list, time_point deadline,
                    const std::stop_token& stop);

  // About a microsecond. A longer one makes batches longer, and elements wait for it.
  static constexpr std::size_t longest_pause = 64;
  static constexpr std::uint32_t leaving = 1;
  static constexpr std::uint32_t one_guest = 2;

  alignas(64) sync::mutex back_lock_;
  std::size_t room_ = 0;  // at least so much is there; under back_lock_
  sync::atomic<std::size_t> pushed_{0};
  waiter_list getters_;

  alignas(64) sync::mutex front_lock_;
  sync::atomic<std::size_t> popped_{0};
  waiter_list putters_;
  std::size_t last_batch_ = 0;  // what was found at the back, up to longest_pause

  alignas(64) sync::mutex done_lock_;
  sync::atomic<std::size_t> done_{0};
  waiter_list joiners_;

  alignas(64) sync::atomic<std::size_t> max_size_;
  sync::atomic<bool> closed_{false};
  sync::atomic<std::uint32_t> guests_{0};
};

bool queue_core::impl::wait_for_room(lock_type& back, time_point deadline,
                                     const std::stop_token& stop) {
  if (deadline == time_point::min()) return false;
  const guest here{guests_};
  for (bool first = true;; first = false) {
    back.unlock();
    if (is_over(deadline, stop)) return false;
    // As in get_from_back(): so that there is room for several.
    if (first) pause(std::min(now(max_size_) / 16, longest_pause));
    lock_type front{front_lock_};
    if (!may_put()) {
      if (first && putters_.spin_next) {
        front.unlock();
        spin(&impl::may_put);
      } else {
        sleep(front, putters_, deadline, stop);
      }
    }
    if (front.owns_lock()) front.unlock();
    back.lock();
    if (now(closed_) || try_reserve()) return true;
  }
}

queue_core::outcome queue_core::impl::get_from_back(queue_core& queue, void* slot, lock_type& front,
                                                    time_point deadline,
                                                    const std::stop_token& stop) {
  // Who gets as fast as others put lets them go on for as long as the last batch took: to take each
  // element off the back by itself would disturb them at each.
  std::optional<guest> here;
  if (const std::size_t turns = last_batch_; turns > 1 && size() < turns && !now(closed_)) {
    here.emplace(guests_);
    front.unlock();
    pause(turns);
    front.lock();
    if (queue.pop_front_slot(slot)) return outcome::done;
  }
  for (bool first = true;; first = false) {
    lock_type back{back_lock_};
    last_batch_ = std::min(size(), longest_pause);
    try {
      if (queue.pop_back_slot(slot)) return outcome::done;
    } catch (...) {
      getters_.wake_one(back);  // the element that was meant for this one
      throw;
    }
    if (now(closed_)) return outcome::shut_down;
    if (deadline == time_point::min() || is_over(deadline, stop)) return outcome::in_vain;
    if (!here) here.emplace(guests_);
    front.unlock();
    if (first && getters_.spin_next) {
      back.unlock();
      spin(&impl::may_get);
    } else {
      sleep(back, getters_, deadline, stop);
      back.unlock();
    }
    front.lock();
    if (queue.pop_front_slot(slot)) return outcome::done;
  }
}

queue_core::outcome queue_core::impl::join(time_point deadline, const std::stop_token& stop) {
  lock_type lock{done_lock_};
  if (all_done()) return outcome::done;
  const guest here{guests_};
  while (!all_done()) {
    if (is_over(deadline, stop)) return outcome::in_vain;
    sleep(lock, joiners_, deadline, stop);
  }
  return is_leaving() ? outcome::shut_down : outcome::done;
}

void queue_core::impl::close(queue_core& queue, void* garbage) noexcept {
  const std::lock_guard front{front_lock_};
  const std::lock_guard back{back_lock_};
  const std::lock_guard done{done_lock_};
  set(closed_, true);
  if (garbage != nullptr) {
    const std::size_t dropped = size();
    queue.swap_slots(garbage);
    set(popped_, now(popped_) + dropped);
    set(done_, now(done_) + dropped);
    if (all_done()) joiners_.wake_all();
  }
  getters_.wake_all();
  putters_.wake_all();
}

void queue_core::impl::wait_until_left() noexcept {
  {
    const std::lock_guard done{done_lock_};
    guests_.fetch_or(leaving, std::memory_order_relaxed);  // relaxed: the lock orders
    joiners_.wake_all();
  }
  // acquire: pairs with the release of the last guest.
  while (const std::uint32_t guests = guests_.load(std::memory_order_acquire) - leaving) {
    sync::futex_wait(guests_, guests | leaving);
  }
  // Others may have come as far as unlocking.
  const std::lock_guard front{front_lock_};
  const std::lock_guard back{back_lock_};
  const std::lock_guard done{done_lock_};
}

void queue_core::impl::change_max_size(std::size_t max_size) noexcept {
  const std::lock_guard front{front_lock_};
  const std::lock_guard back{back_lock_};
  const std::lock_guard done{done_lock_};
  set(max_size_, max_size);
  room_ = 0;
  putters_.wake_all();
}

void queue_core::impl::spin(condition ready) const noexcept {
  // More pauses win when the other side runs on another processor; fewer when it needs this one.
  // sync::spin_until(), even with 4 looks before it yields, stays on its processor for longer: in
  // bench_queue, with the kernel placing the two threads, a round trip then took 2.4 us, not 1.7.
  constexpr int pauses = 16;
  constexpr std::chrono::microseconds budget{20};
  for (int turn = 0; turn < pauses; ++turn) {
    if ((this->*ready)()) return;
    sync::pause();
  }
  sync::spin_memory& memory = sync::spin_memory::here();
  if (memory.may_yield()) sync::yield_until([&] { return (this->*ready)(); }, budget, memory);
}

void queue_core::impl::sleep(lock_type& lock, waiter_list& list, time_point deadline,
                             const std::stop_token& stop) {
  // Had it spun so long, it would have been awake: spinning pays, or does not.
  constexpr std::chrono::microseconds worth_a_spin{40};
  const auto begin = std::chrono::steady_clock::now();
  waiter_list::waiter self;
  list.push(self);
  lock.unlock();
  {
    const auto wake = [&self]() noexcept { self.parker.unpark(); };
    const blocking_scope scope{nullptr, 0, false};
    std::optional<std::stop_callback<decltype(wake)>> on_stop;
    if (stop.stop_possible()) on_stop.emplace(stop, wake);
    self.parker.park(deadline);
  }
  const bool soon = std::chrono::steady_clock::now() - begin < worth_a_spin;
  lock.lock();
  list.remove(self);
  list.spin_next = soon;
}

queue_core::queue_core(std::size_t max_size) : impl_{std::make_unique<impl>(max_size)} {}
queue_core::~queue_core() = default;

queue_core::outcome queue_core::put_slot(const void* slot, time_point deadline,
                                         const std::stop_token& stop) {
  return impl_->put(*this, slot, deadline, stop);
}
queue_core::outcome queue_core::get_slot(void* slot, time_point deadline,
                                         const std::stop_token& stop) {
  return impl_->get(*this, slot, deadline, stop);
}
queue_core::outcome queue_core::join_until(time_point deadline, const std::stop_token& stop) {
  return impl_->join(deadline, stop);
}
void queue_core::close(void* garbage) noexcept { impl_->close(*this, garbage); }
void queue_core::close_and_wait(void* garbage) noexcept {
  impl_->close(*this, garbage);
  impl_->wait_until_left();
}

void queue_core::count_done() { impl_->count_done(); }
void queue_core::change_max_size(std::size_t max_size) noexcept {
  impl_->change_max_size(max_size);
}
std::size_t queue_core::current_max_size() const noexcept { return impl_->max_size(); }
std::size_t queue_core::current_size() const noexcept { return impl_->size(); }
std::size_t queue_core::current_unfinished() const noexcept { return impl_->unfinished(); }
bool queue_core::is_closed() const noexcept { return impl_->closed(); }

void queue_core::throw_shut_down(const char* who) {
  throw shutdown_error{"queue: cannot " + std::string{who} +
                       " after shutdown(): nothing more is put in, and what was in it is gone; end "
                       "this loop"};
}

}  // namespace cadre::detail
