// SPDX-License-Identifier: MIT
#include <cadre/detail/task_scope.hpp>
#include <cadre/errors.hpp>
#include <cadre/hooks.hpp>
#include <cadre/wait.hpp>

#include <csignal>
#include <exception>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "sync/mutex.hpp"
#include "sync/parker.hpp"

namespace cadre::detail {

/// A call of the scope that is not known to be done, or that failed. Its listener, which takes it out.
struct task_scope::child : listener {
  child() noexcept : listener{&ended, true} {}
  static void ended(listener& self, state_base& done) noexcept;

  impl* owner = nullptr;
  ref<state_base> call;
  error_of get_error = nullptr;
  std::exception_ptr error = nullptr;  // of a failed one
  child* next = nullptr;
  child** link = nullptr;  // what points here
};

//   field                               who may read or write it
//   open_, told_, failed_, idle_        under lock_
//   observed_                           who waits, and the destructor
//
// A child is in one of the three lists: from open_ a stop moves it to told_, a failure to failed_. So
// neither needs memory. Whoever takes the last child out of open_ and told_ does nothing with the scope
// after it has unlocked.
class task_scope::impl {
 public:
  explicit impl(std::stop_token parent)
      : parent_{std::in_place, std::move(parent), on_stop{this}} {}

  ~impl() {
    parent_.reset();
    request_stop();
    try {
      join(never);
    } catch (const broken_executor&) {
      return;  // in a child of fork(): the calls are the parent's, and so is what they refer to
    } catch (...) {
      std::terminate();  // here, where it says what was thrown
    }
    while (failed_ != nullptr) {
      const place gone{std::exchange(failed_, failed_->next)};
      if (!observed_) report_unhandled("task_group", {}, std::move(gone->error));
    }
  }

  void adopt(place where, state_base& call, error_of get_error) {
    child& c = *where.release();
    c.owner = this;
    c.call = ref{&call};
    c.get_error = get_error;
    {
      const std::lock_guard lock{lock_};
      put(c, open_);
      if (idle_ != nullptr) idle_->unpark();
    }
    if (!call.add_listener(c)) child::ended(c, call);
    // request_stop() sets the source before it looks for children: one of us stops this call.
    if (source_.stop_requested()) stop(call);
  }

  void ended(child& c, std::exception_ptr error) noexcept {
    if (error == nullptr || (source_.stop_requested() && is_effect_of_stop(error))) {
      const place gone{&c};  // after the lock, and without the scope
      const std::lock_guard lock{lock_};
      take_out(c);
      tell_if_idle();
      return;
    }
    // The others are stopped before this one is known to be done, which may be the scope's end.
    request_stop();
    c.error = std::move(error);
    ref<state_base> done;  // given back after the lock
    const std::lock_guard lock{lock_};
    take_out(c);
    done = std::move(c.call);
    put(c, *last_failed_);
    last_failed_ = &c.next;
    tell_if_idle();
  }

  void request_stop() noexcept {
    if (!source_.request_stop()) return;
    for (;;) {
      ref<state_base> call;
      {
        const std::lock_guard lock{lock_};
        child* const c = open_;
        if (c == nullptr) return;
        take_out(*c);
        put(*c, told_);
        call = c->call;
      }
      if (!call->done()) stop(*call);
    }
  }

  void wait_until(time_point deadline) {
    const bool in_time = join(deadline);
    if (!in_time) {
      request_stop();
      join(never);
    }
    std::vector<std::exception_ptr> errors = get_errors();
    observed_ = true;
    if (!errors.empty()) throw exception_group{"task_group", std::move(errors)};
    if (!in_time) {
      throw timeout_error{
          "task_group: the time was over before all calls were done; the rest was cancelled or "
          "asked "
          "to stop, and is done now"};
    }
  }

  std::stop_token get_token() const noexcept { return source_.get_token(); }

 private:
  struct on_stop {
    impl* self;
    void operator()() const noexcept { self->request_stop(); }
  };
  using calls = std::vector<ref<state_base>>;

  static void stop(state_base& call) noexcept {
    if (!call.cancel()) call.request_stop();
  }

  /// After a stop, an exception with which a call has obeyed, or was made to.
  static bool is_effect_of_stop(const std::exception_ptr& error) noexcept {
    try {
      std::rethrow_exception(error);
    } catch (const cancelled_error&) {
      return true;
    } catch (const worker_died& e) {
      return e.signal() == SIGTERM || e.signal() == SIGKILL;
    } catch (...) {
      return false;
    }
  }

  // Under the lock, these three.
  static void put(child& c, child*& list) noexcept {
    c.next = list;
    if (c.next != nullptr) c.next->link = &c.next;
    c.link = &list;
    list = &c;
  }
  static void take_out(child& c) noexcept {
    *c.link = c.next;
    if (c.next != nullptr) c.next->link = c.link;
  }
  void tell_if_idle() noexcept {
    if (idle_ != nullptr && open_ == nullptr && told_ == nullptr) idle_->unpark();
  }

  std::vector<std::exception_ptr> get_errors() {
    std::vector<std::exception_ptr> errors;
    const std::lock_guard lock{lock_};
    for (const child* c = failed_; c != nullptr; c = c->next) errors.push_back(c->error);
    return errors;
  }

  calls open_calls() {
    calls open;
    const std::lock_guard lock{lock_};
    for (const child* list : {open_, told_}) {
      for (const child* c = list; c != nullptr; c = c->next) {
        if (!c->call->done()) open.push_back(c->call);
      }
    }
    return open;
  }

  /// False if some are not done at the deadline.
  static bool wait_for(const calls& open, time_point deadline) {
    std::vector<state_base*> states;
    for (const auto& call : open) states.push_back(call.get());
    wait_for_states(states, wait_for_which::all, deadline);
    for (const auto& call : open) {
      if (!call->done()) return false;
    }
    return true;
  }

  /// False if some are not done at the deadline.
  bool join(time_point deadline) {
    sync::parker idle;
    for (;;) {
      if (const auto open = open_calls(); !open.empty()) {
        if (!wait_for(open, deadline)) return false;
        continue;
      }
      std::unique_lock lock{lock_};
      if (open_ == nullptr && told_ == nullptr) return true;
      // They are done, and about to say so; unless others come, the last of them wakes us.
      idle_ = &idle;
      lock.unlock();
      idle.park();
      lock.lock();
      idle_ = nullptr;
    }
  }

  sync::mutex lock_;
  child* open_ = nullptr;    // not done, for all that is known
  child* told_ = nullptr;    // the same, and told to stop
  child* failed_ = nullptr;  // the first one first
  child** last_failed_ = &failed_;
  sync::parker* idle_ = nullptr;  // of who waits for open_ and told_ to be empty
  bool observed_ = false;
  std::stop_source source_;
  std::optional<std::stop_callback<on_stop>> parent_;  // the last one: it may be called at once
};

void task_scope::child::ended(listener& self, state_base& done) noexcept {
  auto& c = static_cast<child&>(self);
  const bool failed = done.get_status() == state_base::error;
  c.owner->ended(c, failed ? c.get_error(done) : nullptr);
}

void task_scope::child_deleter::operator()(child* c) const noexcept { delete c; }

task_scope::task_scope(std::stop_token parent) : impl_{std::make_unique<impl>(std::move(parent))} {}
task_scope::~task_scope() = default;

task_scope::place task_scope::reserve() { return place{new child}; }
void task_scope::adopt(place where, state_base& call, error_of get_error) {
  impl_->adopt(std::move(where), call, get_error);
}
void task_scope::wait_until(time_point deadline) { impl_->wait_until(deadline); }
void task_scope::request_stop() noexcept { impl_->request_stop(); }
std::stop_token task_scope::get_token() const noexcept { return impl_->get_token(); }

}  // namespace cadre::detail
