// SPDX-License-Identifier: MIT
#include "process/crew.hpp"

#include <pthread.h>
#include <cadre/errors.hpp>

#include <algorithm>
#include <chrono>
#include <exception>
#include <mutex>
#include <string>
#include <utility>

#include "base/threads.hpp"

namespace cadre::process {
namespace {

// Longer: threads stay for nothing. Shorter: they are made again for each burst, 20 us each.
constexpr std::chrono::seconds idle_time{2};

void wake_now(sync::parker& sleeper) noexcept { sleeper.unpark(); }

}  // namespace

/// One thread, as the wait functions and the crew see it.
class crew::member final : public detail::waiting_worker {
 public:
  member(crew& of, keeper owner) noexcept : crew_{of}, owner_{std::move(owner)} {}

  void claim(detail::state_base&) override {}
  void begin_block(detail::state_base* const*, std::size_t, bool untimed) override {
    crew_.begin_block(owner_, untimed);
  }
  void end_block() noexcept override { crew_.end_block(); }
  void begin_callbacks() noexcept override {}
  bool works_for(const void*) const noexcept override { return false; }
  void repost(detail::state_base&) override { std::terminate(); }  // works_for() is false

  job next;  // given to it while it sleeps
  sync::parker given;

 private:
  crew& crew_;
  const keeper owner_;
};

bool crew::may_grow() const noexcept {
  const std::size_t busy = threads_.size() - std::min(threads_.size(), blocked_);
  return threads_.size() < most_threads && busy < most_busy;
}

/// Under the lock. False if there is no thread to be had.
bool crew::add_thread(keeper owner, job& first) noexcept {
  try {
    free_.reserve(threads_.size() + 1);
    auto self = std::make_unique<member>(*this, std::move(owner));
    member& made = *self;
    threads_.emplace_back();
    try {
      // It cannot go on before the lock is free.
      // With the member the last keeper may go, and this crew with it.
      threads_.back() = start_thread([this, mine = std::move(self)] { work(*mine); });
    } catch (...) {
      threads_.pop_back();
      throw;
    }
    made.next = std::move(first);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

/// Under the lock: to a thread that is free, or a new one. False, and nothing happened, if there is none.
bool crew::give(const keeper& owner, job& work, void (*wake)(sync::parker&) noexcept) noexcept {
  if (free_.empty()) {
    if (!may_grow() || !add_thread(owner, work)) return false;
  } else {
    member* const m = free_.back();
    free_.pop_back();
    m->next = std::move(work);
    wake(m->given);
  }
  ++running_;
  return true;
}

/// Under the lock.
void crew::give_first(const keeper& owner) noexcept {
  if (!jobs_.empty() && give(owner, jobs_.front(), &wake_now)) jobs_.pop_front();
}

bool crew::run(const keeper& owner, job work) {
  const std::lock_guard held{mutex_};
  if (jobs_.empty()) {
    if (running_ == blocked_ && give(owner, work, &detail::late_wake::wake)) return true;
    seen_ended_ = ended_jobs_;
    seen_at_ = std::chrono::steady_clock::now();
  }
  jobs_.push_back(std::move(work));
  return false;
}

bool crew::idle() const noexcept {
  const std::lock_guard held{mutex_};
  return jobs_.empty() && running_ == 0;
}

/// Under the lock; and more threads may take them.
bool crew::jobs_wait() const noexcept { return !jobs_.empty() && (!free_.empty() || may_grow()); }

bool crew::has_waiting() const noexcept {
  const std::lock_guard held{mutex_};
  return jobs_wait();
}

bool crew::falls_behind(std::chrono::nanoseconds patience) noexcept {
  const std::lock_guard held{mutex_};
  if (!jobs_wait()) return false;
  const auto now = std::chrono::steady_clock::now();
  if (std::exchange(seen_ended_, ended_jobs_) != ended_jobs_) seen_at_ = now;
  return now - seen_at_ >= patience;
}

void crew::grow(const keeper& owner) noexcept {
  const std::lock_guard held{mutex_};
  for (std::size_t more = std::max<std::size_t>(running_ - blocked_, 1); more != 0; --more) {
    give_first(owner);
  }
}

bool crew::run_here() {
  {
    std::unique_lock held{mutex_};
    if (jobs_.empty() || !threads_.empty()) return false;
    job work = std::move(jobs_.front());
    jobs_.pop_front();
    ++running_;
    held.unlock();
    work();
    held.lock();
    --running_;
    if (!jobs_.empty() || running_ != 0) return true;
  }
  when_idle_();
  return true;
}

void crew::work(member& self) {
  ::pthread_setname_np(::pthread_self(), "cadre-callbacks");
  makers_scheduling_.apply();
  detail::set_this_thread_worker(&self);
  detail::late_wake readers;
  sigset_t none;  // while it has no job
  bool takes_signals = false;
  std::unique_lock held{mutex_};
  while (self.next || wait_for_job(self)) {
    held.unlock();
    if (!std::exchange(takes_signals, true)) {
      ::pthread_sigmask(SIG_SETMASK, &makers_signals_, &none);
    }
    std::exchange(self.next, job{})();
    held.lock();
    --running_;
    ++ended_jobs_;
    if (!jobs_.empty()) {
      self.next = std::move(jobs_.front());
      jobs_.pop_front();
      ++running_;
      continue;
    }
    const bool idle = running_ == 0;
    held.unlock();
    takes_signals = false;
    ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
    readers.wake();
    if (idle) when_idle_();
    held.lock();
  }
  detail::set_this_thread_worker(nullptr);
  held.unlock();
  leave();
}

/// Under the lock, which is not held while it sleeps. False if it is to end.
bool crew::wait_for_job(member& self) {
  if (ended_) return false;
  free_.push_back(&self);  // there is room
  mutex_.unlock();
  const bool in_time = self.given.park(std::chrono::steady_clock::now() + idle_time);
  mutex_.lock();
  if (in_time) return static_cast<bool>(self.next);  // else it was woken to end
  const auto place = std::find(free_.begin(), free_.end(), &self);
  if (place != free_.end()) {
    free_.erase(place);
    return false;
  }
  mutex_.unlock();
  self.given.park();  // it is on its way
  mutex_.lock();
  return static_cast<bool>(self.next);
}

/// A thread that ends joins the one that did before, so that the last one to be joined is one.
void crew::leave() {
  std::thread before;
  {
    const std::lock_guard held{mutex_};
    const auto self = std::find_if(threads_.begin(), threads_.end(), [](const std::thread& t) {
      return t.get_id() == std::this_thread::get_id();
    });
    if (self == threads_.end()) return;  // it is being joined
    before = std::exchange(gone_, std::move(*self));
    threads_.erase(self);
  }
  if (before.joinable()) before.join();
}

void crew::begin_block(const keeper& owner, bool untimed) {
  const std::lock_guard held{mutex_};
  if (untimed && threads_.size() == most_threads && blocked_ + 1 == most_threads) {
    throw deadlock_error{"process_pool: " + std::to_string(most_threads) +
                         " callbacks of the pool wait, and what they wait for may need one more "
                         "thread; wait in calls "
                         "of a thread pool instead, or not at all: future.then(pool, f)"};
  }
  ++blocked_;
  if (running_ == blocked_) give_first(owner);  // what it waits for may be that
}

void crew::end_block() noexcept {
  const std::lock_guard held{mutex_};
  --blocked_;
}

void crew::end() noexcept {
  const std::lock_guard held{mutex_};
  ended_ = true;
  for (member* m : free_) m->given.unpark();
  free_.clear();
}

void crew::join() noexcept {
  for (;;) {
    std::thread next;
    {
      const std::lock_guard held{mutex_};
      if (!threads_.empty()) {
        next = std::move(threads_.front());
        threads_.pop_front();
      } else {
        next = std::move(gone_);
      }
    }
    if (!next.joinable()) return;
    next.get_id() == std::this_thread::get_id() ? next.detach() : next.join();
  }
}

}  // namespace cadre::process
