// SPDX-License-Identifier: MIT
// Calls whose time runs out: submit_options::expires_in.
#include <cadre/errors.hpp>
#include <cadre/executor.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "base/error_of.hpp"
#include "executor/timers.hpp"

namespace cadre::detail {
namespace {

/// What a timer and a call know of each other. Whoever comes first, the timer's time or the end of the
/// call, takes the reference to the call.
class expiry final : public listener {
 public:
  explicit expiry(state_base& call) noexcept : listener{&call_ended}, call_{&call} {
    call.add_ref();
  }
  ~expiry() { take(); }

  /// False if the call is done.
  static bool begin(const std::shared_ptr<expiry>& self, state_base& call) noexcept {
    self->self_ = self;
    if (call.add_listener(*self)) return true;
    self->self_.reset();
    return false;
  }

  /// Null if somebody else has taken it.
  ref<state_base> take() noexcept {
    // acq_rel: pairs with itself; whoever takes it drops the reference after all that others did before.
    return {call_.exchange(nullptr, std::memory_order_acq_rel), ref<state_base>::adopt{}};
  }
  bool is_over() const noexcept {
    return call_.load(std::memory_order_relaxed) == nullptr;  // relaxed: a hint for sweep()
  }

 private:
  static void call_ended(listener& node, state_base&) noexcept {
    auto& own = static_cast<expiry&>(node);
    const auto keep = std::move(own.self_);
    if (own.take()) timers::instance().note_dead();
  }

  sync::atomic<state_base*> call_;
  std::shared_ptr<expiry> self_;  // while the call has this node
};

class expiry_timer final : public timer {
 public:
  explicit expiry_timer(std::shared_ptr<expiry> what) noexcept
      : timer{nullptr}, what_{std::move(what)} {}

  void fire() noexcept override {
    const ref<state_base> call = what_->take();
    if (!call) return;
    if (!call->expire(expired_error(*call))) call->request_stop();
  }
  void fail(const std::exception_ptr&) noexcept override {}
  bool is_dead() noexcept override { return what_->is_over(); }

 private:
  const std::shared_ptr<expiry> what_;
};

void set_timer(state_base& call) {
  const auto what = std::make_shared<expiry>(call);
  auto alarm = std::make_unique<expiry_timer>(what);
  if (expiry::begin(what, call)) timers::instance().add(std::move(alarm), call.limit());
}

bool is_late(const state_base& call) noexcept {
  return std::chrono::steady_clock::now() >= call.limit();
}

}  // namespace

std::exception_ptr expired_error(const state_base& call) noexcept {
  return error_of([&] {
    const std::string name = call.name().empty() ? "" : " \"" + std::string{call.name()} + '"';
    return timeout_error{"executor: the call" + name +
                         " did not begin within its expires_in, and did not run: submit it again "
                         "with more time, or to more workers"};
  });
}

void expire_in_time(state_base& call) {
  if (call.done()) return;
  if (is_late(call) && call.expire(expired_error(call))) return;
  try {
    set_timer(call);
  } catch (...) {
    call.cancel();
    throw;
  }
}

bool begins_in_time(state_base& call, bool by_submitter) noexcept {
  if (is_late(call)) return false;
  if (!by_submitter) return true;
  try {
    set_timer(call);
  } catch (...) {  // nobody will ask it to stop: expire_in_time() comes too late to say why
  }
  return true;
}

}  // namespace cadre::detail
