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

/// A call of the scope that is not known to be done. Its listener, which takes it out.
struct task_scope::child : listener {
  child() noexcept : listener{&ended, true} {}
  static void ended(listener& self, state_base& done) noexcept;

  impl* owner = nullptr;
  ref<state_base> call;
  error_of get_error = nullptr;
  child* next = nullptr;
  child** link = nullptr;  // what points here
};

//   field                         who may read or write it
//   children_, errors_, idle_     under lock_
//   observed_                     who waits, and the destructor
//
// Whoever takes out the last child does nothing with the scope after it has unlocked.
class task_scope::impl {
 public:
  explicit impl(std::stop_token parent) {
    if (parent.stop_possible()) parent_.emplace(std::move(parent), on_stop{this});
  }

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
    if (observed_) return;
    for (auto& e : errors_) report_unhandled("task_group", {}, std::move(e));
  }

  void adopt(place where, state_base& call, error_of get_error) {
    child& c = *where.release();
    c.owner = this;
    c.call = ref{&call};
    c.get_error = get_error;
    {
      const std::lock_guard lock{lock_};
      c.next = children_;
      if (c.next != nullptr) c.next->link = &c.next;
      c.link = &children_;
      children_ = &c;
      if (idle_ != nullptr) idle_->unpark();
    }
    if (!call.add_listener(c)) child::ended(c, call);
    // request_stop() sets the source before it looks for children: one of us stops this call.
    if (source_.stop_requested()) stop(call);
  }

  void ended(child& c, std::exception_ptr error) noexcept {
    if (error != nullptr && !(source_.stop_requested() && is_effect_of_stop(error))) {
      std::unique_lock lock{lock_};
      errors_.push_back(std::move(error));
      const bool first = errors_.size() == 1;
      lock.unlock();
      if (first) request_stop();
    }
    const place gone{&c};  // after the lock, and without the scope
    const std::lock_guard lock{lock_};
    *c.link = c.next;
    if (c.next != nullptr) c.next->link = c.link;
    if (idle_ != nullptr && children_ == nullptr) idle_->unpark();
  }

  void request_stop() noexcept {
    if (!source_.request_stop()) return;
    for (const auto& call : open_calls()) stop(*call);
  }

  void wait_until(time_point deadline) {
    const bool in_time = join(deadline);
    if (!in_time) {
      request_stop();
      join(never);
    }
    std::unique_lock lock{lock_};
    observed_ = true;
    auto errors = errors_;
    lock.unlock();
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

  calls open_calls() {
    calls open;
    const std::lock_guard lock{lock_};
    for (child* c = children_; c != nullptr; c = c->next) {
      if (!c->call->done()) open.push_back(c->call);
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
      if (children_ == nullptr) return true;
      // They are done, and about to say so; unless others come, the last of them wakes us.
      idle_ = &idle;
      lock.unlock();
      idle.park();
      lock.lock();
      idle_ = nullptr;
    }
  }

  sync::mutex lock_;
  child* children_ = nullptr;
  sync::parker* idle_ = nullptr;  // of who waits for an empty list
  std::vector<std::exception_ptr> errors_;
  bool observed_ = false;
  std::stop_source source_;
  std::optional<std::stop_callback<on_stop>> parent_;
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
