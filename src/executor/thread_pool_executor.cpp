// SPDX-License-Identifier: MIT
#include <cadre/thread_pool_executor.hpp>

#include "base/keep_for_ever.hpp"
#include "executor/thread_pool.hpp"

namespace cadre {

thread_pool_executor::thread_pool_executor(thread_pool_options options)
    : impl_{std::make_shared<impl>(std::move(options))} {
  impl_->belong_to(this);
  impl_->prestart();
}

thread_pool_executor::~thread_pool_executor() {
  if (impl_->forked()) {
    detail::keep_for_ever(std::move(impl_));
    return;
  }
  shutdown();
  impl_->belong_to(nullptr);
}

void thread_pool_executor::resize(int max_workers) { impl_->resize(max_workers); }
void thread_pool_executor::pause() noexcept { impl_->pause(); }
void thread_pool_executor::resume() noexcept { impl_->resume(); }
bool thread_pool_executor::is_paused() const noexcept { return impl_->paused(); }
bool thread_pool_executor::wait_idle_by(detail::time_point deadline) {
  return impl_->wait_idle(deadline);
}

void thread_pool_executor::do_enqueue(detail::state_base& call, const submit_options& options) {
  detail::refuse_limits("thread_pool", options);
  impl_->enqueue(call, options.priority);
}

void thread_pool_executor::do_enqueue_all(detail::state_base*& first, std::size_t count) {
  impl_->enqueue_all(first, count);
}

shutdown_report thread_pool_executor::do_shutdown(const shutdown_options& options) {
  return impl_->shutdown(options);
}

const void* thread_pool_executor::do_identity() const noexcept { return impl_.get(); }

detail::task_host& thread_pool_executor::do_task_host() noexcept { return *impl_; }

executor_stats thread_pool_executor::do_stats() const { return impl_->stats(); }

unsigned thread_pool_executor::do_max_workers() const noexcept { return impl_->max_workers(); }

}  // namespace cadre
