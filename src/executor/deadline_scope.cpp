// SPDX-License-Identifier: MIT
#include <cadre/deadline_scope.hpp>
#include <cadre/errors.hpp>

#include <optional>

#include "executor/timers.hpp"

namespace cadre {
namespace {

/// Outlives the scope while its stop callbacks run, which may destroy it.
struct limit_source {
  std::stop_source source;
  sync::atomic<bool> over{false};  // the scope is gone
};

class expiry final : public detail::timer {
 public:
  explicit expiry(std::shared_ptr<limit_source> limit) noexcept
      : timer{nullptr}, limit_{std::move(limit)} {}

  void fire() noexcept override {
    if (!is_dead()) limit_->source.request_stop();
  }
  void fail(const std::exception_ptr&) noexcept override {}
  bool is_dead() noexcept override {
    return limit_->over.load(std::memory_order_relaxed);  // relaxed: a hint for fire() and sweep()
  }

 private:
  const std::shared_ptr<limit_source> limit_;
};

}  // namespace

class deadline_scope::impl {
 public:
  impl(detail::time_point limit, std::stop_token parent)
      : limit_{limit}, shared_{std::make_shared<limit_source>()} {
    if (expired()) {
      shared_->source.request_stop();
    } else if (limit != detail::never) {
      detail::timers::instance().add(std::make_unique<expiry>(shared_), limit);
    }
    if (parent.stop_possible()) parent_.emplace(std::move(parent), on_stop{shared_});
  }
  ~impl() {
    shared_->over.store(true, std::memory_order_relaxed);  // relaxed: note_dead() releases
    if (limit_ != detail::never && !expired()) detail::timers::instance().note_dead();
  }

  std::stop_token get_token() const noexcept { return shared_->source.get_token(); }
  bool expired() const noexcept {
    return limit_ != detail::never && std::chrono::steady_clock::now() >= limit_;
  }

 private:
  struct on_stop {
    std::shared_ptr<limit_source> shared;
    void operator()() const noexcept {
      const auto keep = shared;
      keep->source.request_stop();
    }
  };

  const detail::time_point limit_;
  const std::shared_ptr<limit_source> shared_;
  std::optional<std::stop_callback<on_stop>> parent_;
};

deadline_scope::deadline_scope(at limit, std::stop_token parent)
    : impl_{std::make_unique<impl>(limit.time, std::move(parent))} {}
deadline_scope::~deadline_scope() = default;

std::stop_token deadline_scope::get_token() const noexcept { return impl_->get_token(); }
bool deadline_scope::expired() const noexcept { return impl_->expired(); }

void deadline_scope::check() const {
  if (!expired()) return;
  throw timeout_error{
      "deadline_scope: its time was over; what followed its token was cancelled or asked to stop"};
}

}  // namespace cadre
