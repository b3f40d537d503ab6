// SPDX-License-Identifier: MIT
#include <cadre/deadline_scope.hpp>
#include <cadre/errors.hpp>

#include <optional>
#include <thread>

#include "sync/parker.hpp"

namespace cadre {

class deadline_scope::impl {
 public:
  impl(detail::time_point limit, std::stop_token parent) : limit_{limit} {
    if (parent.stop_possible()) parent_.emplace(std::move(parent), on_stop{this});
    if (limit <= std::chrono::steady_clock::now()) {
      source_.request_stop();
    } else if (limit != detail::never) {
      thread_ = std::thread{[this] {
        if (!over_.park(limit_)) source_.request_stop();
      }};
    }
  }
  ~impl() {
    over_.unpark();
    if (thread_.joinable()) thread_.join();
  }

  std::stop_token get_token() const noexcept { return source_.get_token(); }
  bool expired() const noexcept {
    return limit_ != detail::never && std::chrono::steady_clock::now() >= limit_;
  }

 private:
  struct on_stop {
    impl* self;
    void operator()() const noexcept { self->source_.request_stop(); }
  };

  const detail::time_point limit_;
  std::stop_source source_;
  sync::parker over_;
  std::thread thread_;
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
